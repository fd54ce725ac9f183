"""Sizes of a file."""

from __future__ import annotations

import gzip
import os

from components.measurer.measured import Size


def measure(path: str) -> Size:
    """Bytes of a file, as it is and gzip-compressed at level 9."""
    with open(path, "rb") as file:
        compressed = gzip.compress(file.read(), compresslevel=9, mtime=0)
    return Size(os.path.getsize(path), len(compressed))
