"""Figures and lists as people read them."""

from __future__ import annotations


def bytes_text(count: float | None) -> str:
    """Bytes in powers of ten, as `653.2 kB`."""
    if count is None:
        return "–"
    for unit, size in (("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"


def duration_text(seconds: float | None) -> str:
    """How long something took: `7.3 s`, `2 min 05 s`, `1 h 30 min`."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min {rest:02} s"


def clock_text(seconds: float) -> str:
    """Time since a start as a clock shows it: `12:07`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"


def count_text(number: int, noun: str) -> str:
    """A number of things: `1 folder`, `1,200 folders`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
