"""Options of steps that train: what goes together, and ids that stay as options are added."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
from pydantic import ValidationError

from components.common.base import metric_direction
from components.common.base.distribution_options import ALONE, Distribution
from components.common.base.step_options import (
    Baseline,
    EarlyStopping,
    LearningRateSchedule,
    StepOptions,
    TrainingOptions,
)
from components.fine_tuner.params import FineTuneOptions
from components.pruner.params import PruneOptions
from components.quantization_aware_trainer.params import QatOptions
from components.registry import TECHNIQUES
from components.trainer.params import TrainOptions

NEEDED: dict[str, dict[str, Any]] = {"prune": {"sparsity": 0.5}, "prune_channels": {"ratio": 0.5}}
TRAINING = [technique.options for technique in TECHNIQUES.values() if technique.trains]


def message(options: type, **written: Any) -> str:
    """The one thing that is wrong."""
    with pytest.raises(ValidationError) as raised:
        options(**written)
    (error,) = raised.value.errors()
    return str(error["ctx"]["error"]) if error["type"] == "value_error" else error["msg"]


@pytest.mark.parametrize(
    ("options", "name", "written"),
    [
        (PruneOptions(sparsity=0.8), "prune", '{"sparsity": 0.8}'),
        (PruneOptions(sparsity=0.8, epochs=3), "prune", '{"epochs": 3, "sparsity": 0.8}'),
        (QatOptions(), "qat", ""),
        (QatOptions(batch_size=64, epochs=1), "qat", '{"batch_size": 64}'),
        (QatOptions(learning_rate=0.1), "qat", '{"learning_rate": 0.1}'),
        (FineTuneOptions(), "fine-tune", ""),
        (FineTuneOptions(steps=5), "fine-tune", '{"steps": 5}'),
        (
            QatOptions(learning_rate_schedule=LearningRateSchedule(kind="constant", warmup=0.0)),
            "qat",
            "",
        ),
        (
            QatOptions(learning_rate_schedule=LearningRateSchedule(kind="cosine", end=0.0)),
            "qat",
            '{"learning_rate_schedule": {"kind": "cosine"}}',
        ),
        (QatOptions(early_stopping=None, seed=None, steps=None), "qat", ""),
        (
            QatOptions(epochs=2, early_stopping=EarlyStopping()),
            "qat",
            '{"early_stopping": {}, "epochs": 2}',
        ),
    ],
)
def test_the_name_in_an_id_comes_from_options_that_are_not_defaults(
    options: StepOptions, name: str, written: str
) -> None:
    digest = hashlib.sha256(written.encode()).hexdigest()[:6]
    assert options.slug() == (f"{name}-{digest}" if written else name)


def test_every_technique_gives_a_name_that_kubernetes_takes() -> None:
    required = {**NEEDED, "convert": {"quantization": "int8"}}
    for name, technique in TECHNIQUES.items():
        slug = technique.options(**required.get(name, {})).slug()
        assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", slug), slug


def test_the_steps_that_train_are_found() -> None:
    names = {options.technique for options in TRAINING}
    assert names >= {"distill", "prune_channels", "prune", "cluster", "qat", "fine_tune"}
    assert "convert" not in names


@pytest.mark.parametrize("options", [*TRAINING, TrainOptions], ids=lambda options: options.__name__)
def test_every_training_takes_the_same_options(options: type) -> None:
    needed = NEEDED.get(getattr(options, "technique", ""), {})
    schedule = {"kind": "cosine", "warmup": 0.1, "end": 0.05}
    stopping = {"monitor": "val_accuracy", "patience": 3, "min_delta": 0.001, "restore_best": False}
    common = {
        "batch_size": 32, "learning_rate": 0.01, "seed": 5,
        "learning_rate_schedule": schedule, "early_stopping": stopping,
    }  # fmt: skip
    for length in ({"epochs": 7}, {"steps": 100}):
        kept = options(**needed, **common, **length).model_dump(mode="json", exclude_defaults=True)
        assert kept == {**needed, **common, **length}
        given = options(**needed, **common, **length)
        assert options.from_canonical(given.canonical_json()) == given
    both = message(options, **needed, epochs=1, steps=100)
    assert both == "epochs (1) and steps (100) both say how long to train; write one of them"


def test_the_baseline_goes_by_what_build_model_compiles_with() -> None:
    assert TrainOptions().learning_rate is None
    assert TrainOptions().epochs == 5
    assert FineTuneOptions().learning_rate is None
    assert FineTuneOptions().epochs == 1


@pytest.mark.parametrize("options", TRAINING, ids=lambda options: options.technique)
def test_a_step_takes_from_the_baseline_what_it_does_not_say(options: type[TrainingOptions]) -> None:
    needed = NEEDED.get(options.technique, {})
    mirrored = Distribution(kind="mirrored", devices=2)
    baseline = Baseline(mirrored, batch_size=48)

    taken = options(**needed).like(baseline)
    assert (taken.batch_size, taken.distribution) == (48, mirrored)
    own = options(**needed, batch_size=16, distribution="none").like(baseline)
    assert (own.batch_size, own.distribution) == (16, ALONE)
    assert options(**needed).examples_per_step() == 32  # as Keras's fit


@pytest.mark.parametrize(
    ("options", "written", "expected"),
    [
        pytest.param(
            LearningRateSchedule,
            {"kind": "exponential"},
            "an exponential schedule never reaches 0; write e.g. end: 0.01",
            id="exponential to 0",
        ),
        pytest.param(
            LearningRateSchedule,
            {"end": 0.1},
            "end (0.1) cannot be combined with a constant learning rate; write kind: linear, cosine or "
            "exponential, or leave `end` out",
            id="end of a constant",
        ),
        pytest.param(
            LearningRateSchedule, {"warmup": 1.0}, "Input should be less than 1", id="nothing but warm-up"
        ),
        pytest.param(
            EarlyStopping,
            {"monitor": "accuracy"},
            "monitor: accuracy is measured on the training split, which training can only fit better; write "
            "monitor: val_accuracy",
            id="the training split",
        ),
        pytest.param(
            EarlyStopping,
            {"monitor": "val_quux"},
            "the name val_quux does not say whether higher is better; write "
            "higher_is_better: true or higher_is_better: false beside it",
            id="unknown direction",
        ),
        pytest.param(
            EarlyStopping,
            {"patience": 0},
            "Input should be greater than or equal to 1",
            id="no patience",
        ),
        pytest.param(
            FineTuneOptions,
            {"early_stopping": {}},
            "early_stopping compares epochs, but there is only one; write e.g. epochs: 10, or leave "
            "early_stopping out",
            id="one epoch, by default",
        ),
        pytest.param(
            PruneOptions,
            {"sparsity": 0.5, "epochs": 1, "early_stopping": {}},
            "early_stopping compares epochs, but there is only one; write e.g. epochs: 10, or leave "
            "early_stopping out",
            id="one epoch, as written",
        ),
        pytest.param(QatOptions, {"steps": 0}, "Input should be greater than or equal to 1", id="no step"),
        pytest.param(
            QatOptions, {"seed": 2**31}, "Input should be less than 2147483648", id="seed above 31 bits"
        ),
    ],
)
def test_what_makes_no_sense_is_refused(options: type, written: dict[str, Any], expected: str) -> None:
    assert message(options, **written) == expected


@pytest.mark.parametrize(
    ("name", "higher"),
    [
        ("loss", False), ("y_loss", False), ("mae", False), ("y_mse", False), ("mean_squared_error", False),
        ("sparse_categorical_crossentropy", False), ("log_cosh", False), ("false_negatives", False),
        ("accuracy", True), ("acc", True), ("sparse_top_k_categorical_accuracy", True), ("auc", True),
        ("precision_1", True), ("recall", True), ("f1_score", True), ("r2_score", True), ("mean_io_u", True),
        ("prc", None), ("MeanSquaredError", False), ("BinaryAccuracy", True), ("MeanIoU", True),
    ],
)  # fmt: skip
def test_directions_follow_from_names(name: str, higher: bool | None) -> None:
    assert metric_direction.higher_is_better(name) is higher


def test_a_written_direction_goes_before_the_name() -> None:
    assert EarlyStopping(monitor="val_quux", higher_is_better=False).ascending() is False
    assert EarlyStopping(monitor="val_loss", higher_is_better=True).ascending() is True
    assert EarlyStopping().ascending() is False
