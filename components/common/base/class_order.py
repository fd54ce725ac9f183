"""The order of classes that are text. Imports no TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Iterable


def in_order(names: Iterable[str]) -> list[str]:
    """Classes in the order of a model's outputs: by value if all are whole numbers, else by code point."""
    names = list(names)
    if all(re.fullmatch(r"[+-]?[0-9]+", name) for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)
