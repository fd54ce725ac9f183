"""Lengths of training, as a config writes them: "200 steps", "1.5 epochs"."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

_PATTERN = r"([0-9]+|[0-9]*\.[0-9]+)\s*(step|epoch)s?"


def normalized(value: Any) -> str:
    """A span in the one form that all others of the same length have: "1.50 epoch" → "1.5 epochs".

    Raises:
        ValueError: If it is not a span: a number without a unit is not.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(
            f"{value:g} has no unit; write {value:g} steps (of the optimizer), or {value:g} epochs"
        )
    match = re.fullmatch(_PATTERN, value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is not a length of training; write e.g. 200 steps, or 1.5 epochs")
    number, unit = float(match[1]), f"{match[2]}s"
    if unit == "steps" and not number.is_integer():
        raise ValueError(f"{value!r} is not a whole number of steps; write e.g. {round(number)} steps")
    return written(number, unit)


def written(number: float, unit: str) -> str:
    """A number of "steps" or "epochs"."""
    return f"{int(number) if float(number).is_integer() else number} {unit}"


def amount(span: str) -> tuple[float, str]:
    """Number and unit ("steps" or "epochs") of a span."""
    number, unit = span.split()
    return float(number), unit


def to_steps(span: str, steps_per_epoch: int) -> int:
    """Steps of the optimizer in a span, rounded.

    Args:
        span: As `normalized` returns it.
        steps_per_epoch: Steps in one pass over the training examples.
    """
    number, unit = amount(span)
    return round(number * (steps_per_epoch if unit == "epochs" else 1))


Span = Annotated[
    str,
    BeforeValidator(normalized),
    WithJsonSchema({"type": "string", "pattern": f"^{_PATTERN}$", "examples": ["200 steps", "1.5 epochs"]}),
]
