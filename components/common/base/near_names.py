"""The known name that an unknown one is likely to mean."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(name: str, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """The known name most like `name`, whatever the case of its letters; None if none is much like it."""
    lower = {k.lower(): k for k in known}
    matches = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=cutoff)
    return lower[matches[0]] if matches else None


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: "; did you mean 'x'?", or nothing."""
    match = closest(name, known)
    return f"; did you mean {match!r}?" if match else ""
