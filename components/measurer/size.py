"""Sizes of a file."""

from __future__ import annotations

import gzip
import os

from components.common.base.runtime import LITERT_JS, Runtime
from components.common.tflite.litert_js import browser
from components.measurer.measured import Size


def measure(path: str, runtime: Runtime) -> Size:
    """Bytes of a file, as it is and gzip-compressed at level 9, and for browsers Brotli-compressed at level 11."""
    with open(path, "rb") as file:
        compressed = gzip.compress(file.read(), compresslevel=9, mtime=0)
    brotli = browser.brotli_size(path) if runtime == LITERT_JS else None
    return Size(os.path.getsize(path), len(compressed), brotli)
