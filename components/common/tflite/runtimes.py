"""The runtimes that a file can be predicted on."""

from __future__ import annotations

from components.common.base.runtime import LITERT, Runtime
from components.common.tflite.litert import LiteRTModel
from components.common.tflite.tflm import TFLMModel

Model = LiteRTModel | TFLMModel


def load(path: str, runtime: Runtime = LITERT) -> Model:
    """Loads a file.

    Args:
        path: A TFLite file.
        runtime: What it is to run on.

    Raises:
        LiteRTError: If it does not load on LiteRT.
        TFLMError: If it does not load on TFLite Micro, or that is not installed.
    """
    return LiteRTModel(path) if runtime == LITERT else TFLMModel.read(path)
