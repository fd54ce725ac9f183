"""Equal values for weights, without TFMOT."""

from __future__ import annotations

import numpy as np
import pytest

from components.clusterer.executor import share_values


def weights(*shape: int, zeros: float = 0.0) -> np.ndarray:
    generator = np.random.default_rng(3)
    values = generator.normal(size=shape).astype(np.float32)
    return np.where(generator.random(shape) < zeros, np.float32(0), values)


@pytest.mark.parametrize("zeros", [0.0, 0.6])
def test_each_value_is_the_mean_of_the_values_that_it_replaces(zeros: float) -> None:
    before = weights(3, 3, 4, 8, zeros=zeros)
    after = share_values(before, 16, per_channel=False, seed=1)

    values = np.unique(after)
    assert len(values) == 16
    assert after.dtype == np.float32 and after.shape == before.shape
    for value in values:
        assert value == pytest.approx(before[after == value].astype(np.float64).mean(), rel=1e-6)
    np.testing.assert_array_equal(before == 0, after == 0)


def test_values_divide_the_line_into_intervals() -> None:
    """As nearest centroids do: no weight has a smaller value than a smaller weight."""
    before = weights(400)
    after = share_values(before, 8, per_channel=False, seed=1)

    assert np.all(np.diff(after[np.argsort(before)]) >= 0)
    # Sixteen times less than the weights' own spread, as for a normal distribution (Max, 1960: 0.0345).
    assert np.var(before - after) < 0.05 * np.var(before)


def test_channels_have_values_of_their_own() -> None:
    before = weights(5, 5, 4, 6, zeros=0.5)
    after = share_values(before, 4, per_channel=True, seed=1)

    for channel in range(6):
        values = np.unique(after[..., channel])
        assert len(values) == 4 and 0 in values
        for value in values:
            mean = before[..., channel][after[..., channel] == value].mean()
            assert value == pytest.approx(mean, rel=1e-5)
    assert len(np.unique(after)) == 6 * 3 + 1
    np.testing.assert_array_equal(before == 0, after == 0)


@pytest.mark.parametrize("distinct", [1, 7, 8])
def test_few_values_stay_as_they_are(distinct: int) -> None:
    before = np.resize(np.arange(distinct, dtype=np.float32), (6, 9))

    np.testing.assert_array_equal(share_values(before, 8, per_channel=False, seed=1), before)


def test_zero_counts_as_a_value_only_where_there_is_one() -> None:
    dense = np.resize(np.arange(1, 9, dtype=np.float32), 40)
    np.testing.assert_array_equal(share_values(dense, 8, per_channel=False, seed=1), dense)

    sparse = np.append(dense, np.float32(0))
    after = share_values(sparse, 8, per_channel=False, seed=1)
    assert len(np.unique(after)) == 8
    assert np.flatnonzero(after == 0).tolist() == [40]


def test_what_is_given_is_not_changed_and_the_same_seed_gives_the_same() -> None:
    before = weights(20, 30)
    kept = before.copy()
    one, other = (share_values(before, 5, per_channel=False, seed=7) for _ in range(2))

    np.testing.assert_array_equal(before, kept)
    np.testing.assert_array_equal(one, other)
