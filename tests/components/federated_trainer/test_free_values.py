"""The values that zeros and shared values leave free."""

from __future__ import annotations

import numpy as np

from components.clusterer.invariants import Clusters
from components.federated_trainer.free_values import FreeValues
from components.pruner.invariants import Sparsity

VALUES = np.array([[0.0, 2.0, 0.0], [3.0, 0.0, 2.0]], np.float32)


def test_zeros_are_not_sent_and_stay() -> None:
    free = FreeValues.within(VALUES, [Sparsity(least=0.5)])
    assert free is not None and free.read(VALUES).tolist() == [2, 3, 2]
    assert free.spread(np.array([5, 6, 7], np.float32)).tolist() == [[0, 5, 0], [6, 0, 7]]
    assert free.bytes == 1  # six bits


def test_a_shared_value_is_sent_once_and_stays_shared() -> None:
    free = FreeValues.within(VALUES, [Clusters(most=3)])
    assert free is not None and free.read(VALUES).tolist() == [0, 2, 3]
    assert free.spread(np.array([5, 6, 7], np.float32)).tolist() == [[5, 6, 5], [7, 5, 6]]
    assert free.bytes == 2  # two bits for each of three values


def test_of_a_sparse_and_clustered_kernel_zero_is_not_free() -> None:
    free = FreeValues.within(VALUES, [Sparsity(least=0.5), Clusters(most=3)])
    assert free is not None and free.read(VALUES).tolist() == [2, 3]
    assert free.spread(np.array([6, 7], np.float32)).tolist() == [[0, 6, 0], [7, 0, 6]]


def test_channels_share_values_by_themselves_if_they_were_clustered_so() -> None:
    free = FreeValues.within(VALUES, [Clusters(most=2, per_channel=True)])
    assert free is not None and free.count == 6
    spread = free.spread(np.arange(6, dtype=np.float32))
    assert (free.read(spread) == np.arange(6)).all() and np.unique(spread).size == 6
    assert free.bytes == 1


def test_without_an_invariant_all_weights_are_free() -> None:
    assert FreeValues.within(VALUES, []) is None
