"""Numbers as the terminal's table has them, and ticks of axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime

from pipeline.base.texts import bytes_text, duration_text

__all__ = ["accuracy_text", "bytes_text", "duration_text", "ratio_text", "ticks", "time_text", "when_text"]


def time_text(milliseconds: float | None) -> str:
    """A latency."""
    if milliseconds is None:
        return "–"
    return f"{milliseconds * 1000:.0f} µs" if milliseconds < 1 else f"{milliseconds:.2f} ms"


def accuracy_text(value: float | None, signed: bool = False) -> str:
    """A metric, or a difference of metrics."""
    return "–" if value is None else format(value, "+.4f" if signed else ".4f")


def ratio_text(value: float | None, digits: int = 3) -> str:
    """How many times the baseline's."""
    return "–" if value is None else f"{value:.{digits}f}"


def when_text(moment: datetime | None) -> str:
    """A time in UTC."""
    return "–" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def ticks(
    low: float, high: float, logarithmic: bool, text: Callable[[float], str]
) -> tuple[list[float], list[str]]:
    """Round places on an axis, with their names; places with equal names are named once.

    Args:
        low: End of the axis; above 0 where it is logarithmic.
        high: Other end.
        logarithmic: Whether the axis is.
        text: Gives a place its name.
    """
    places = _powers(low, high) if logarithmic else _steps(low, high)
    named: dict[str, float] = {}
    for place in places:
        named.setdefault(text(place), place)
    return list(named.values()), list(named)


def _powers(low: float, high: float) -> list[float]:
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        found = [f * 10.0**e for e in exponents for f in factors if low <= f * 10.0**e <= high]
        if len(found) >= 3:
            break
    # More would not stand beside each other in a narrow chart.
    return found[:: math.ceil(len(found) / 5)] if found else found


def _steps(low: float, high: float) -> list[float]:
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= rough)
    return [index * step for index in range(math.ceil(low / step), math.floor(high / step) + 1)]
