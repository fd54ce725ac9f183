"""Which client has which examples."""

from __future__ import annotations

import numpy as np
import pytest

from components.federated_trainer import client_split
from components.federated_trainer.client_split import ClientSplitError

TRAIN, EVAL = np.arange(3000) % 3, np.arange(600) % 3


def test_a_column_gives_each_value_a_client_with_its_examples() -> None:
    split = client_split.by_column(
        np.array([b"b", b"a", b"b", b"c"], object), np.array([b"a", b"z"], object)
    )
    assert {name: found.tolist() for name, found in split.train.items()} == {
        "a": [1],
        "b": [0, 2],
        "c": [3],
    }
    assert {name: found.tolist() for name, found in split.eval.items()} == {"a": [0], "b": [], "c": []}


def test_a_dirichlet_division_uses_every_example_once_and_both_splits_alike() -> None:
    split = client_split.dirichlet(TRAIN, EVAL, 0.3, 4, seed=1)
    assert list(split.train) == ["client-0", "client-1", "client-2", "client-3"]
    for found, count in ((split.train, 3000), (split.eval, 600)):
        assert sorted(np.concatenate(list(found.values()))) == list(range(count))
    for client, indices in split.train.items():
        shares = np.bincount(TRAIN[indices], minlength=3) / 1000
        measured = np.bincount(EVAL[split.eval[client]], minlength=3) / 200
        assert np.abs(shares - measured).max() < 0.01
        assert len(indices) > 0


def test_a_small_concentration_gives_each_client_few_classes() -> None:
    def largest_share(concentration: float) -> float:
        split = client_split.dirichlet(TRAIN, EVAL, concentration, 4, seed=1)
        return float(np.mean([np.bincount(TRAIN[i]).max() / len(i) for i in split.train.values()]))

    assert largest_share(100.0) < 0.45 < 0.6 < largest_share(0.1)


def test_a_seed_gives_one_division() -> None:
    def indices(seed: int) -> list[list[int]]:
        return [i.tolist() for i in client_split.dirichlet(TRAIN, EVAL, 0.3, 4, seed).train.values()]

    assert indices(1) == indices(1) != indices(2)


def test_a_division_that_leaves_clients_without_examples_is_refused() -> None:
    with pytest.raises(ClientSplitError, match="raise dirichlet, or lower count"):
        client_split.dirichlet(np.zeros(3, int), np.zeros(1, int), 0.01, 3, seed=1)


def test_clients_of_a_round_are_drawn_without_replacement_and_otherwise_in_each_round() -> None:
    names = [f"client-{n}" for n in range(10)]
    rounds = [client_split.drawn(names, 4, 7, number) for number in range(1, 40)]
    assert all(len(set(one)) == 4 and one == sorted(one) for one in rounds)
    assert set().union(*rounds) == set(names) and len({tuple(one) for one in rounds}) > 20
    assert rounds[0] == client_split.drawn(names, 4, 7, 1)
