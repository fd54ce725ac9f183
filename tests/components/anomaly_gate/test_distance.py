"""Distances of samples, against NumPy, and what chance makes of them, against simulation."""

from __future__ import annotations

import numpy as np
import pytest

from components.anomaly_gate.distance import (
    chance,
    chance_of_twins,
    kolmogorov_smirnov,
    largest_difference,
)


def test_kolmogorov_smirnov_is_the_largest_difference_of_cumulative_shares() -> None:
    random = np.random.default_rng(0)
    first, second = random.integers(0, 9, 300).astype(float), random.normal(4, 2, (40, 5))
    at = np.concatenate([first, second.ravel()])
    by_hand = max(abs(np.mean(first <= x) - np.mean(second <= x)) for x in at)
    assert kolmogorov_smirnov(first, second) == pytest.approx(by_hand)
    assert kolmogorov_smirnov(first, first) == 0
    assert kolmogorov_smirnov(np.zeros(5), np.ones(3)) == 1


def test_largest_difference_counts_what_one_sample_lacks() -> None:
    assert largest_difference({"a": 3, "b": 1}, {"a": 1, "c": 1}) == pytest.approx(0.5)
    assert largest_difference({0: 1, 1: 1}, {1: 5, 0: 5}) == 0


@pytest.mark.parametrize(("first", "second"), [(1000, 1000), (2000, 50), (30, 15)])
def test_chance_is_not_exceeded_but_near(first: int, second: int) -> None:
    """Of 200 pairs of samples none exceeds it, and the largest distance is not far below it."""
    random = np.random.default_rng(0)
    distances = [
        kolmogorov_smirnov(random.normal(size=first), random.normal(size=second)) for _ in range(200)
    ]
    assert 0.4 * chance(first, second) < max(distances) <= min(1, chance(first, second))


def test_chance_shrinks_with_the_root_of_the_sizes_and_grows_with_comparisons() -> None:
    assert chance(400, 400) == pytest.approx(chance(100, 100) / 2)
    assert chance(100, 100, comparisons=784) > chance(100, 100)


def test_twins_by_chance() -> None:
    random = np.random.default_rng(0)
    shares, limits = [], []
    for _ in range(300):
        values = random.zipf(1.6, 900)
        train, evaluation = values[:700], values[700:]
        found, counts = np.unique(train, return_counts=True)
        own = counts[counts > 1].sum() / 700
        shares.append(np.isin(evaluation, found).mean())
        limits.append(chance_of_twins(own, 700, 200))
    assert all(share <= limit for share, limit in zip(shares, limits, strict=True))
    assert chance_of_twins(0.0, 10_000, 10_000) < 0.002
