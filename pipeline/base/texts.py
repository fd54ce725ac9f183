"""Figures as people read them."""

from __future__ import annotations


def bytes_text(count: float | None) -> str:
    """Bytes as people read them, in powers of ten."""
    if count is None:
        return "–"
    for unit, size in (("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"
