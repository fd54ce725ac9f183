"""The runtimes that predictions can be made on."""

from __future__ import annotations

import json
from typing import Literal

Runtime = Literal["litert", "tflite-micro", "litert-js"]
LITERT: Runtime = "litert"
TFLITE_MICRO: Runtime = "tflite-micro"
LITERT_JS: Runtime = "litert-js"
NAMES: dict[Runtime, str] = {LITERT: "LiteRT", TFLITE_MICRO: "TFLite Micro", LITERT_JS: "LiteRT.js"}


def as_parameter(runtime: Runtime, version: str) -> str:
    """A runtime as the parameter of a node; another version of it makes another cache key.

    Args:
        runtime: What to predict on.
        version: Version of its package, if it is not one that every code version counts.
    """
    return json.dumps({"name": runtime, "version": version}, sort_keys=True)


def from_parameter(text: str | None) -> Runtime:
    """The runtime that `as_parameter` wrote; LiteRT if a node was given none."""
    return json.loads(text)["name"] if text else LITERT
