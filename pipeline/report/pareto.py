"""Trade-offs: which candidates nothing else beats, and which figures the gate allows."""

from __future__ import annotations

from dataclasses import dataclass

from components.evaluator.limits import Limits


@dataclass(frozen=True)
class Point:
    """A candidate as a pair of figures.

    Attributes:
        name: Name of the candidate.
        cost: Bytes, or a time: less is better.
        quality: The gate's metric.
    """

    name: str
    cost: float
    quality: float


def front(points: list[Point], ascending: bool) -> list[Point]:
    """The points that no other one beats: none costs less and is at least as good, or the same and better.

    Args:
        points: In any order.
        ascending: Whether a higher quality is a better one.

    Returns:
        By rising cost; equal points are all in it.
    """
    sign = -1 if ascending else 1
    ordered = sorted(points, key=lambda p: (p.cost, sign * p.quality, p.name))
    kept: list[Point] = []
    for point in ordered:
        if not kept or sign * point.quality < sign * kept[-1].quality or _equal(point, kept[-1]):
            kept.append(point)
    return kept


def _equal(one: Point, other: Point) -> bool:
    return one.cost == other.cost and one.quality == other.quality


def allowed(limits: Limits, baseline: float | None, ascending: bool) -> tuple[float | None, float | None]:
    """The range of a figure that meets its limits.

    Args:
        limits: The bounds.
        baseline: The baseline's figure; limits that need it are left out if it is not known.
        ascending: Whether higher is better, which decides what a drop is.

    Returns:
        Lowest and highest value; None if that side is open.
    """
    lows, highs = [limits.min], [limits.max]
    if baseline is not None and limits.max_drop is not None:
        if ascending:
            lows.append(baseline - limits.max_drop)
        else:
            highs.append(baseline + limits.max_drop)
    if baseline is not None and limits.max_ratio is not None:
        highs.append(baseline * limits.max_ratio)
    if baseline is not None and limits.min_ratio is not None:
        lows.append(baseline * limits.min_ratio)
    low = max((value for value in lows if value is not None), default=None)
    high = min((value for value in highs if value is not None), default=None)
    return low, high
