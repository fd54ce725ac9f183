"""Names of layers."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

_WRAPPERS = ("quant_", "prune_low_magnitude_")


def plain_name(layer: str) -> str:
    """A layer's name without what TFMOT's wrappers put before it."""
    for prefix in _WRAPPERS:
        layer = layer.removeprefix(prefix)
    return layer


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name fits one of the patterns, which are as those of file names."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
