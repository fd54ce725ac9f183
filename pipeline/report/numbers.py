"""Numbers as the terminal's table has them."""

from __future__ import annotations

from datetime import datetime

from components.common.base.quantities import bytes_text, time_text
from pipeline.base.texts import duration_text
from pipeline.run.column import number

__all__ = ["accuracy_text", "bytes_text", "duration_text", "ratio_text", "time_text", "when_text"]


def accuracy_text(value: float | None, signed: bool = False) -> str:
    """A metric, or a difference of metrics."""
    return number(value, "+.4f" if signed else ".4f")


def ratio_text(value: float | None, digits: int = 3) -> str:
    """How many times the baseline's."""
    return "–" if value is None else f"{value:.{digits}f}"


def when_text(moment: datetime | None) -> str:
    """A time in UTC."""
    return "–" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S UTC")
