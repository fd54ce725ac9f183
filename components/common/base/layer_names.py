"""Names of layers."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

# What techniques put before the name of a layer that they wrap: TFMOT's wrappers, for instance. In the order
# in which they were declared, each once.
_wrappers: dict[str, None] = {}


def declare(*prefixes: str) -> None:
    """Has `plain_name` know prefixes. The registry declares those of all techniques, a record those of its model."""
    _wrappers.update(dict.fromkeys(prefixes))


def plain_name(layer: str) -> str:
    """A layer's name without what wrappers put before it."""
    for prefix in _wrappers:
        layer = layer.removeprefix(prefix)
    return layer


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name fits one of the patterns, which are as those of file names."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
