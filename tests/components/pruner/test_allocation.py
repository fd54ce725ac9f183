"""How a share of all weights is divided among layers."""

from __future__ import annotations

import numpy as np
import pytest

from components.pruner import allocation


def test_a_score_is_the_share_of_what_is_left_when_all_smaller_weights_are_gone() -> None:
    np.testing.assert_allclose(
        allocation.scores(np.array([[3.0, -1.0], [2.0, 0.0]])), [0, 1 / 14, 4 / 13, 1]
    )


def test_a_wide_layer_loses_more_and_all_layers_together_what_was_asked_for() -> None:
    random = np.random.default_rng(1)
    kernels = {"wide": random.normal(size=(100, 80)), "narrow": 9 * random.normal(size=(10, 20))}
    shares = allocation.shares(kernels, 0.6)

    zeros = sum(share * kernels[name].size for name, share in shares.items())
    assert zeros == pytest.approx(0.6 * 8200, abs=1)
    assert shares["wide"] > 0.6 > 0.3 > shares["narrow"]
    # Whatever the scale of a layer is.
    scaled = {**kernels, "wide": 1000 * kernels["wide"]}
    assert allocation.shares(scaled, 0.6) == pytest.approx(shares)


def test_weights_that_are_zero_already_go_first_and_no_layer_loses_all() -> None:
    kernels = {"half": np.array([[0.0, 0, 0, 5, 6, 7]]), "dense": np.arange(1.0, 7).reshape(2, 3)}
    assert allocation.shares(kernels, 0.25) == {"half": 0.5, "dense": 0.0}
    assert allocation.shares(kernels, 0.99) == {"half": 5 / 6, "dense": 5 / 6}
    assert allocation.shares(kernels, 0.01) == {"half": 0.0, "dense": 0.0}
