"""The sparsity that a layer can be held to."""

from __future__ import annotations

import pytest

from components.pruner import invariants


@pytest.mark.parametrize(
    ("sparsity", "weights", "reachable"),
    [
        (0.8, 1000, 0.8),
        (0.8, 10, 0.8),
        (0.8, 36, 28 / 36),  # 0.7778
        (0.5, 7, 3 / 7),
        (0.8, 3, 2 / 3),
        (0.9, 5, 4 / 5),
        (0.3, 3, 0.0),
        (0.7, 10, 0.7),  # 0.7 · 10 is 7.000000000000001 or 6.9999…, and 7 either way
        (0.29, 100, 0.29),
        (0.8, 201, 0.8),  # 160 of 201 miss by less than half a point
    ],
)
def test_a_sparsity_of_whole_weights(sparsity: float, weights: int, reachable: float) -> None:
    assert invariants.reachable(sparsity, weights) == pytest.approx(reachable, abs=1e-12)
