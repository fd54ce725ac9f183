"""Bounds on a figure, and when a value meets one."""

from __future__ import annotations

import math
from typing import Literal, get_args

LimitBound = Literal["min", "max", "max_drop", "max_ratio", "min_ratio"]
BOUNDS: tuple[LimitBound, ...] = get_args(LimitBound)
# Bounds that a higher value meets.
LOWER_BOUNDS: frozenset[str] = frozenset({"min", "min_ratio"})


def compared(
    bound: LimitBound, candidate: float | None, baseline: float | None, ascending: bool
) -> float | None:
    """The value that a bound is compared with; None if it is not known.

    Args:
        bound: The bound.
        candidate: The candidate's figure; None if it was not measured.
        baseline: The baseline's.
        ascending: Whether higher is better, which decides what a drop is.
    """
    if candidate is None or not math.isfinite(candidate):
        return None
    if bound in ("min", "max"):
        return candidate
    if baseline is None or not math.isfinite(baseline):
        return None
    if bound == "max_drop":
        drop = baseline - candidate if ascending else candidate - baseline
        # Differences of metrics carry rounding of the last bits: 0.99 - 0.985 is more than 0.005.
        return round(drop, 12)
    return candidate / baseline if baseline > 0 else None


def meets(bound: str, value: float | None, limit: float) -> bool:
    """Whether a value meets a limit; one that is not known does not. A limit that is reached exactly is met."""
    if value is None:
        return False
    return value >= limit if bound in LOWER_BOUNDS else value <= limit
