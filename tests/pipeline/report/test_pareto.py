"""The Pareto front, and the ranges that limits allow."""

from __future__ import annotations

import itertools
import random

import pytest

from components.evaluator.limits import Limits
from pipeline.report.pareto import Point, allowed, front


def dominated(point: Point, other: Point, ascending: bool) -> bool:
    better = other.quality >= point.quality if ascending else other.quality <= point.quality
    same = other.cost == point.cost and other.quality == point.quality
    return other.cost <= point.cost and better and not same


@pytest.mark.parametrize("ascending", [True, False], ids=["higher is better", "lower is better"])
def test_front_holds_exactly_what_no_other_point_dominates(ascending: bool) -> None:
    draw = random.Random(5)
    for count in (1, 2, 7, 30):
        points = [Point(f"p{i}", draw.randrange(8), draw.randrange(8)) for i in range(count)]
        expected = {p.name for p in points if not any(dominated(p, other, ascending) for other in points)}
        found = front(points, ascending)
        assert {p.name for p in found} == expected
        assert all(a.cost <= b.cost for a, b in itertools.pairwise(found))


def test_no_points_have_no_front() -> None:
    assert front([], True) == []


@pytest.mark.parametrize(
    ("limits", "baseline", "ascending", "expected"),
    [
        ({"min": 0.97, "max_drop": 0.005}, 0.98, True, (0.975, None)),
        ({"min": 0.979, "max_drop": 0.005}, 0.98, True, (0.979, None)),
        ({"max_drop": 0.5, "max": 4.0}, 3.0, False, (None, 3.5)),
        ({"max_ratio": 0.3, "max": 400}, 1000, False, (None, 300)),
        ({"max_ratio": 0.3, "max": 200, "min": None}, 1000, False, (None, 200)),
        ({"max_ratio": 0.3, "max_drop": 1.0}, None, False, (None, None)),
        ({}, 1.0, True, (None, None)),
    ],
)
def test_every_limit_is_met_in_the_allowed_range(
    limits: dict, baseline: float, ascending: bool, expected: tuple
) -> None:
    found = allowed(Limits(**limits), baseline, ascending)
    assert found == pytest.approx(expected)
