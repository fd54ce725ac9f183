"""When masks are made again; steps are counted as TFMOT does, from 1."""

from __future__ import annotations

from typing import Any

import pytest

from components.common.training import fitting
from components.pruner.params import PruneOptions
from components.pruner.schedule import Renewals, first_complete_epoch, renewals, schedule, too_short


def sparsity_over_time(steps: int, **options: Any) -> list[tuple[int, float]]:
    """In which steps masks are made again, and for which sparsity."""
    values = PruneOptions(**options, steps=steps, batch_size=1)
    plan = schedule(values, values.sparsity, renewals(values, examples=10))
    turns = [(step, plan(step)) for step in range(1, steps + 1)]
    return [(step, float(sparsity)) for step, (renew, sparsity) in turns if bool(renew)]


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 9, 14, 40, 99, 100, 133, 134, 1001])
@pytest.mark.parametrize("shape", ["constant", "polynomial"])
def test_the_last_renewal_has_the_target_however_few_the_steps(shape: str, steps: int) -> None:
    turns = sparsity_over_time(steps, schedule=shape, sparsity=0.7)

    assert turns[-1][1] == pytest.approx(0.7)
    assert [sparsity for _, sparsity in turns] == sorted(sparsity for _, sparsity in turns)


def test_the_polynomial_schedule_leaves_a_quarter_to_recover() -> None:
    turns = sparsity_over_time(1000, sparsity=0.8, initial_sparsity=0.2)

    assert turns[0] == (1, pytest.approx(0.2))
    assert turns[-1] == (750, pytest.approx(0.8))
    # Zhu and Gupta's cubic, from step 1 to 750.
    assert dict(turns)[376] == pytest.approx(0.8 - 0.6 * (1 - 375 / 749) ** 3)
    assert len(turns) == 11


def test_the_constant_schedule_has_the_target_from_the_first_step_on() -> None:
    # TFMOT's begin_step of 0 would wait for the first multiple of the frequency.
    assert [step for step, _ in sparsity_over_time(30, schedule="constant", sparsity=0.6)][:3] == [1, 4, 7]


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"begin": "200 steps", "end": "600 steps", "frequency": "100 steps"}, [200, 300, 400, 500, 600]),
        ({"begin": "200 steps", "end": "550 steps", "frequency": "100 steps"}, [200, 300, 400, 500, 550]),
        ({"begin": "20 epochs", "end": "40 epochs", "frequency": "15 epochs"}, [200, 350, 400]),
        ({"end": "600 steps", "frequency": "1000 steps"}, [1, 600]),
        (
            {"begin": "950 steps", "schedule": "constant", "frequency": "20 steps"},
            [950, 970, 990],
        ),
        (
            {"begin": "100 steps", "end": "140 steps", "schedule": "constant", "frequency": "20 steps"},
            [100, 120, 140],
        ),
    ],
)
def test_begin_end_and_frequency(options: dict, steps: list[int]) -> None:
    assert [step for step, _ in sparsity_over_time(1000, sparsity=0.5, **options)] == steps


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"sparsity": 0.5}, Renewals(1, 70, 7, complete=70)),
        ({"sparsity": 0.5, "schedule": "constant"}, Renewals(1, -1, 10, complete=1)),
        (
            {"sparsity": 0.5, "schedule": "constant", "begin": "1.5 epochs"},
            Renewals(70, -1, 3, complete=70),
        ),
        ({"sparsity": 0.5, "begin": "0 steps", "end": "2 epochs"}, Renewals(1, 94, 10, complete=94)),
        ({"m_by_n": "2:4"}, Renewals(1, 1, 1, complete=1)),
    ],
)
def test_renewals_in_two_epochs_of_47_steps(options: dict, expected: Renewals) -> None:
    values = PruneOptions(**options, epochs=2, batch_size=128)
    assert renewals(values, examples=47 * 128 - 5) == expected


@pytest.mark.parametrize(("complete", "epoch"), [(1, 0), (47, 0), (48, 1), (94, 1)])
def test_the_first_epoch_that_ends_with_the_target(complete: int, epoch: int) -> None:
    values = PruneOptions(sparsity=0.5, epochs=2, batch_size=128)
    assert first_complete_epoch(Renewals(1, complete, 1, complete), values, 47 * 128) == epoch


@pytest.mark.parametrize(
    ("examples", "batch_size", "steps"),
    [
        (2_304, 128, 56 * 18),  # two epochs would be 36 steps
        (20, 32, 1_000),
        (60_000, 100, 2 * 600),
        (3_200, 32, 1_000),
    ],
)
def test_by_default_pruning_has_the_steps_that_it_needs(examples: int, batch_size: int, steps: int) -> None:
    values = PruneOptions(sparsity=0.5, batch_size=batch_size)
    assert fitting.total_steps(values, examples) == steps
    assert renewals(values, examples).complete == steps * 3 // 4
    assert too_short(values, examples) == ""


@pytest.mark.parametrize(
    ("written", "weights", "epochs"),
    [
        ({"teacher": "self"}, 100_000, 64),
        ({"teacher": "self"}, 100_001, None),
        ({"teacher": "self", "epochs": 3}, 10, 3),
        ({"teacher": "self", "steps": 50}, 10, None),
        ({"teacher": "labels"}, 10, None),
        ({"teacher": "self", "batch_size": 1}, 60_000, 2),
    ],
)
def test_a_small_model_that_learns_from_its_baseline_has_more_steps(
    written: dict, weights: int, epochs: int | None
) -> None:
    options = PruneOptions(sparsity=0.5, **written)
    assert options.for_model(weights, examples=2_001).epochs == epochs


@pytest.mark.parametrize(
    ("length", "found"),
    [
        ({"epochs": 2}, "36 steps are too few for pruning: the remaining weights have too little time to adapt; "
         "write steps: 1000, or leave epochs out"),
        ({"steps": 36}, "36 steps are too few for pruning: the remaining weights have too little time to adapt; "
         "write steps: 1000, or leave steps out"),
        ({"epochs": 6}, ""),
    ],
)  # fmt: skip
def test_a_length_that_is_too_short_is_said_with_one_that_is_not(length: dict, found: str) -> None:
    assert too_short(PruneOptions(sparsity=0.5, batch_size=128, **length), 2_304) == found
