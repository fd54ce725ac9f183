"""Figures as people read and write them: bytes, milliseconds, and numbers without an exponent."""

from __future__ import annotations

from collections.abc import Callable


def bytes_text(count: float | None) -> str:
    """Bytes in powers of ten, as `653.2 kB`."""
    if count is None:
        return "–"
    for unit, size in (("MB", 10**6), ("kB", 10**3)):
        if abs(count) >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"


def exact_bytes_text(count: float) -> str:
    """Bytes as a config has them: `34 kB` if that is all of it, else `34,123 B`."""
    for unit, size in (("MB", 10**6), ("kB", 10**3)):
        if abs(count) >= size and count % (size / 10) == 0:
            return f"{count / size:g} {unit}"
    return f"{count:,.0f} B"


def time_text(milliseconds: float | None) -> str:
    """A latency: `41 µs`, `1.50 ms`."""
    if milliseconds is None:
        return "–"
    return f"{milliseconds * 1000:.0f} µs" if abs(milliseconds) < 1 else f"{milliseconds:.2f} ms"


def number_text(value: float | None, digits: int = 4) -> str:
    """A number with as few digits as people write, and without an exponent unless it is tiny.

    Args:
        value: The number.
        digits: How many count in a number that is not larger.
    """
    if value is None:
        return "–"
    return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"


def distinct(value: float, limit: float) -> tuple[str, str]:
    """Two different numbers as short texts that differ."""
    for digits in (4, 6, 9, 17):
        texts = number_text(value, digits), number_text(limit, digits)
        if texts[0] != texts[1]:
            return texts
    return repr(value), repr(limit)


def pair(value: float, limit: float, texts: list[Callable[[float], str]], unit: str) -> tuple[str, str]:
    """A value and its limit as texts that differ if they do.

    Args:
        value: What was measured.
        limit: What is allowed.
        texts: How either is written, the shortest first.
        unit: For both, if they read alike in each of these.
    """
    for text in texts:
        if value == limit or text(value) != text(limit):
            return text(value), text(limit)
    one, other = distinct(value, limit)
    return f"{one} {unit}", f"{other} {unit}"
