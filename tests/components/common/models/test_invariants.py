"""Invariants held against kernels, and the words for those that are lost."""

from __future__ import annotations

import json

import numpy as np
import pytest

from components.clusterer.invariants import Clusters
from components.common.models import invariants
from components.common.models.invariants import Check, Invariant, LostInvariantError
from components.common.tflite.kernel import Kernel
from components.pruner.invariants import MByN, Sparsity


def kernel(values: np.ndarray, operator: str = "FULLY_CONNECTED", zero_point: int = 0) -> Kernel:
    """A kernel of the shape (output channels, ..., input channels)."""
    return Kernel(
        operator=operator,
        layers=frozenset({"d"}),
        values=values,
        dtype=values.dtype.name,
        scales=np.zeros(0, np.float32),
        zero_points=np.array([zero_point]),
        channel_axis=0,
        output_axis=0,
        bytes=values.nbytes,
        sparse=False,
        layer="d",
    )


def sparse(zeros: int, size: int = 1000) -> Kernel:
    values = np.arange(1, size + 1, dtype=np.float32).reshape(10, -1)
    values.ravel()[:zeros] = 0
    return kernel(values)


@pytest.mark.parametrize(
    ("zeros", "met"), [(800, True), (900, True), (795, True), (794, False), (0, False)]
)
def test_sparsity_may_miss_half_a_point(zeros: int, met: bool) -> None:
    (found,) = invariants.check({"d": [sparse(zeros)]}, {"d": [Sparsity(least=0.8)]})

    kind = found.invariant
    assert (found.layer, kind.figure, kind.bound, kind.wanted) == ("d", "sparsity", "min", 0.8)
    assert found.got == zeros / 1000
    assert found.met is met


def test_zero_is_what_the_zero_point_says() -> None:
    values = np.full((4, 8), 3, np.int8)
    values[0] = 0
    (found,) = invariants.check({"d": [kernel(values, zero_point=3)]}, {"d": [Sparsity(least=0.7)]})

    assert found.got == 0.75


@pytest.mark.parametrize(("count", "met"), [(15, True), (16, True), (17, False)])
def test_clusters_are_counted_in_the_whole_kernel(count: int, met: bool) -> None:
    values = np.resize(np.arange(count, dtype=np.float32), (8, 17))
    (found,) = invariants.check({"d": [kernel(values)]}, {"d": [Clusters(most=16)]})

    assert (found.got, found.invariant.bound, found.met) == (count, "max", met)


def test_or_in_each_channel() -> None:
    values = np.arange(40, dtype=np.float32).reshape(10, 4)
    one_kernel = {"d": [kernel(values)]}

    assert invariants.check(one_kernel, {"d": [Clusters(most=4)]})[0].got == 40
    (found,) = invariants.check(one_kernel, {"d": [Clusters(most=4, per_channel=True)]})
    assert found.got == 4 and found.met


def test_every_block_has_to_have_its_zeros() -> None:
    values = np.ones((5, 8), np.float32)
    values[:, [0, 3, 4, 5]] = 0
    wanted = {"d": [MByN(m=2, n=4)]}
    (found,) = invariants.check({"d": [kernel(values)]}, wanted)
    assert (found.got, found.met) == (1.0, True)

    values[4, 0] = 7
    (found,) = invariants.check({"d": [kernel(values)]}, wanted)
    assert (found.got, found.met) == (0.9, False)


def test_all_kernels_of_a_layer_have_to_hold() -> None:
    found = {"d": [sparse(900), sparse(300)]}
    values = np.arange(40, dtype=np.float32).reshape(10, 4)
    few = kernel(np.zeros((10, 4), np.float32))

    assert invariants.check(found, {"d": [Sparsity(least=0.8)]})[0].got == 0.3
    assert invariants.check({"d": [few, kernel(values)]}, {"d": [Clusters(most=9)]})[0].got == 40


def test_a_layer_that_is_not_there_holds_nothing() -> None:
    wanted = {"gone": [Sparsity(least=0.1), MByN(m=2, n=4), Clusters(most=16)]}
    checks = invariants.check({"d": [sparse(900)]}, wanted)

    assert [found.invariant.figure for found in checks] == ["sparsity", "m_by_n", "clusters"]
    assert [found.got for found in checks] == [None] * 3
    assert not any(found.met for found in checks)


def test_layers_come_by_name_and_only_with_what_was_asked_for() -> None:
    wanted = {"b": [Clusters(most=2)], "a": [Sparsity(least=0.5)], "c": []}

    assert [(c.layer, c.invariant.figure) for c in invariants.check({}, wanted)] == [
        ("a", "sparsity"), ("b", "clusters"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        (
            Check("d", Sparsity(least=0.8), 0.4125),
            "sparsity of layer d is 41.2% in the file, 80.0% was asked for",
        ),
        (
            Check("d", Sparsity(least=0.8), None),
            "sparsity of layer d was not found in the file, 80.0% was asked for",
        ),
        (
            Check("d", Clusters(most=16), 47),
            "number of distinct weights of layer d is 47 in the file, at most 16 was asked for",
        ),
        (
            Check("d", Clusters(most=16), None),
            "number of distinct weights of layer d was not found in the file, at most 16 was asked for",
        ),
        (
            Check("d", MByN(m=2, n=4), 0.75),
            "2:4 sparsity of layer d is kept by 75.0% of the blocks in the file, every block was asked for",
        ),
    ],
)
def test_reasons(check: Check, reason: str) -> None:
    assert check.reason(" in the file") == reason
    assert check.reason() == reason.replace(" in the file", "")


@pytest.mark.parametrize(
    ("check", "figures"),
    [
        (Check("d", Sparsity(least=0.57), 0.56), (" 56.0%", "57.0%")),
        (Check("d", Sparsity(least=0.999), 0.99399), (" 99.3%", "99.9%")),
        (Check("d", MByN(m=2, n=4), 99999 / 100000), (" 99.9% of", "every block")),
    ],
)
def test_a_reason_does_not_contradict_itself(check: Check, figures: tuple[str, str]) -> None:
    assert not check.met
    assert all(figure in check.reason() for figure in figures)


def test_lost_ones_are_refused_all_at_once() -> None:
    lost = [Check("a", Sparsity(least=0.8), 0.5), Check("b", Clusters(most=4), 5)]
    held = Check("c", Sparsity(least=0.8), 0.8)
    invariants.refuse_lost([held])

    with pytest.raises(LostInvariantError) as raised:
        invariants.refuse_lost([lost[0], held, lost[1]])
    assert str(raised.value) == (
        "sparsity of layer a is 50.0%, 80.0% was asked for; "
        "number of distinct weights of layer b is 5, at most 4 was asked for"
    )


def test_the_worst_layer_is_the_headline() -> None:
    checks = [
        Check("a", Sparsity(least=0.8), 0.81),
        Check("b", Sparsity(least=0.5), 0.55),
        Check("c", Sparsity(least=0.5), None),
        Check("a", Clusters(most=16), 12),
        Check("b", Clusters(most=16), 16),
        Check("b", MByN(m=2, n=4), 0.5),
    ]

    assert invariants.headline(checks) == {
        "least_layer_sparsity": 0.55, "least_m_by_n": 0.5, "most_layer_clusters": 16,
    }  # fmt: skip
    assert invariants.headline(checks[:1]) == {"least_layer_sparsity": 0.81}
    assert invariants.headline([]) == {}


def test_facts_of_layers() -> None:
    values = np.array([[0, 0, 1], [2, 1, 0]], np.int8)

    assert invariants.facts_of({"d": [kernel(values)]}) == {
        "d": {"dtype": "int8", "weights": 6, "sparsity": 0.5, "unique": 3}
    }


ONE_OF_EACH = [
    Sparsity(least=0.8),
    Sparsity(least=0.8, block=(4, 1)),
    MByN(m=2, n=4),
    Clusters(most=16, per_channel=True),
]


@pytest.mark.parametrize("asked", ONE_OF_EACH, ids=repr)
def test_json_and_back(asked: Invariant) -> None:
    assert invariants.from_json(json.loads(json.dumps(asked.to_json()))) == asked


@pytest.mark.parametrize("path", ["components.pruner.params.PruneOptions", "json.loads"])
def test_what_is_not_an_invariant_is_not_made(path: str) -> None:
    with pytest.raises(TypeError, match=f"{path} is not an invariant"):
        invariants.from_json({"invariant": path, "sparsity": 0.5})


@pytest.mark.parametrize(
    ("asked", "zeros", "one_scale", "kept"),
    [
        ([], 0.0, False, ""),
        ([Sparsity(least=0.1)], 0.1, False, "zeros"),
        ([Sparsity(least=0.1), MByN(m=2, n=4)], 0.5, False, "zeros"),
        ([Clusters(most=3)], 0.0, True, "shared values"),
        ([Sparsity(least=0.7), Clusters(most=3, per_channel=True)], 0.7, False, "zeros and shared values"),
    ],
)
def test_what_other_steps_ask(asked: list[Invariant], zeros: float, one_scale: bool, kept: str) -> None:
    assert invariants.zero_share(asked) == zeros
    assert invariants.one_scale(asked) is one_scale
    assert invariants.kept(asked) == kept


def test_a_layer_of_few_weights_does_not_represent_the_model() -> None:
    few = Check("gain", Sparsity(least=0.0), 0.0, weights=1)
    large = [
        Check("a", Sparsity(least=0.8), 0.81, weights=1000),
        Check("b", Sparsity(least=0.8), 0.8, weights=10),
    ]
    assert invariants.headline([few, *large]) == {"least_layer_sparsity": 0.8}
    assert invariants.headline([few]) == {"least_layer_sparsity": 0.0}
    assert few.met
