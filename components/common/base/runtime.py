"""The runtimes that predictions can be made on."""

from __future__ import annotations

from typing import Literal

Runtime = Literal["litert", "tflite-micro"]
LITERT: Runtime = "litert"
TFLITE_MICRO: Runtime = "tflite-micro"
NAMES: dict[Runtime, str] = {LITERT: "LiteRT", TFLITE_MICRO: "TFLite Micro"}
