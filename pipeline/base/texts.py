"""Figures and lists as people read them."""

from __future__ import annotations

from collections.abc import Sequence


def bytes_text(count: float | None) -> str:
    """Bytes as people read them, in powers of ten."""
    if count is None:
        return "–"
    for unit, size in (("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"


def listed(names: Sequence[str], most: int = 6) -> str:
    """Names with commas between them; of a long list the first ones: "a, b and 3 more"."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
