"""Options that map patterns of names of layers to shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def to_pairs(per_layer: Mapping[str, float]) -> list[tuple[str, float]]:
    """A mapping as JSON holds it: the order of patterns counts, and the keys of JSON objects are sorted."""
    return list(per_layer.items())


def from_pairs(value: Any) -> Any:
    """The content of JSON as a mapping; anything else is returned for pydantic."""
    return dict(value) if isinstance(value, list) and all(len(pair) == 2 for pair in value) else value


def refusing_zero(what: str) -> Callable[[Any], Any]:
    """A validator that refuses 0 and says how to leave layers out.

    Args:
        what: What 0 would do.
    """

    def refuse_zero(value: Any) -> Any:
        if value == 0 and not isinstance(value, bool):
            raise ValueError(f"{what}; remove the pattern and list the layers under exclude")
        return value

    return refuse_zero
