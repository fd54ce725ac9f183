"""The runtimes that a file can be predicted on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from components.common.base.runtime import LITERT, LITERT_JS, NAMES, TFLITE_MICRO, Runtime
from components.common.tflite import tflm
from components.common.tflite.file_model import FileModel
from components.common.tflite.litert import LiteRTModel
from components.common.tflite.litert_js import browser, installation
from components.common.tflite.litert_js.model import LiteRTJsModel
from components.common.tflite.tflm import TFLMModel


def load(path: str, runtime: Runtime = LITERT) -> FileModel:
    """Loads a file.

    Args:
        path: A TFLite file.
        runtime: What it is to run on.

    Raises:
        LiteRTError: If it does not load on LiteRT.
        TFLMError: If it does not load on TFLite Micro, or that is not installed.
        LiteRTJsError: If it does not load on LiteRT.js, or that is not installed.
    """
    if runtime == LITERT_JS:
        return LiteRTJsModel(path)
    return TFLMModel.read(path) if runtime == TFLITE_MICRO else LiteRTModel(path)


def name(runtime: Runtime) -> str:
    """A runtime other than LiteRT with its version, for people.

    Raises:
        TFLMError: If it is TFLite Micro, which is not installed.
    """
    version = installation.version() if runtime == LITERT_JS else tflm.version()
    return f"{NAMES[runtime]} {version or 'that is not installed'}"


def most_at_once(runtime: Runtime, asked: int) -> int:
    """How many examples can be predicted at once: a page runs one after another."""
    return 1 if runtime == LITERT_JS else asked


@contextmanager
def closed_afterwards(runtime: Runtime) -> Iterator[None]:
    """Ends at its end what a runtime keeps running: the browser. The next file that is loaded starts it again."""
    try:
        yield
    finally:
        if runtime == LITERT_JS:
            browser.close()
