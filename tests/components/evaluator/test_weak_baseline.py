"""Baselines that are hardly better than a constant prediction."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from components.evaluator import weak_baseline
from components.evaluator.judgement import FailureKind
from components.evaluator.params import AccuracyGate, Gate
from components.measurer.comparison import Chance

TEN_CLASSES = Chance(0.1135, 1.0, 0.02)


def found(value: float, chance: Chance | None = TEN_CLASSES, **limits: Any) -> FailureKind | None:
    gate = AccuracyGate.model_validate({"metric": "SparseCategoricalAccuracy", **limits})
    failure = weak_baseline.find(gate, value, chance)
    return failure.kind if failure else None


AT_CHANCE = FailureKind.BASELINE_AT_CHANCE


def test_a_baseline_below_the_margin_is_a_failure() -> None:
    assert found(0.092, max_drop=0.01) is found(0.092, min_ratio=0.9) is AT_CHANCE
    assert found(0.1135 + 0.019 * 0.8865, max_drop=0.01) is AT_CHANCE
    assert found(0.1135 + 0.021 * 0.8865, max_drop=0.01) is None
    assert found(0.092, slices=[{"by": "label", "max_drop": 0.1}]) is AT_CHANCE
    assert found(0.09, Chance(0.0, 1.0, 0.1), max_drop=0.01) is AT_CHANCE
    assert found(0.3, Chance(0.0, 1.0, 0.1), max_drop=0.01) is None
    assert found(0.092, max_drop=0.01, allow_weak_baseline=True) is None
    assert found(0.092, None, max_drop=0.01) is None
    assert found(float("nan"), max_drop=0.01) is None


def test_a_limit_that_a_constant_prediction_misses_is_enough() -> None:
    assert found(0.092, max_drop=0.01, min=0.5) is None
    assert found(0.092, max_drop=0.01, min=0.1) is AT_CHANCE
    assert found(0.092, min=0.05) is None  # nothing is compared with the baseline


def test_of_errors_lower_is_better() -> None:
    variance = Chance(4.0, 0.0, 0.02)
    error = {"metric": "MeanSquaredError"}
    assert found(3.99, variance, max_ratio=1.1, **error) is AT_CHANCE
    assert found(3.0, variance, max_ratio=1.1, **error) is None
    assert found(3.99, variance, max_ratio=1.1, max=3.5, **error) is None


def test_the_reason_has_both_numbers() -> None:
    gate = AccuracyGate.model_validate({"metric": "AUC", "max_drop": 0.1})
    failure = weak_baseline.find(gate, 0.5, Chance(0.5, 1.0, 0.1))
    assert failure is not None
    assert failure.reason == (
        "the baseline has learnt nothing, so nothing can drop from it: its AUC is 0.5, and a constant prediction "
        "has 0.5 (10.0% of the way to a perfect one may be luck)"
    )


@pytest.mark.parametrize(
    ("limits", "part"),
    [
        ({"max_drop": 0.01, "confidence": 0.9}, "write 0.95"),
        ({"confidence": 0.95}, "confidence belongs to limits"),
    ],
)
def test_confidence_that_holds_nothing_is_refused(limits: dict[str, Any], part: str) -> None:
    with pytest.raises(ValidationError, match=part):
        AccuracyGate.model_validate({"metric": "AUC", **limits})


def test_only_a_metric_that_is_not_a_mean_is_computed_for_each_resample() -> None:
    limits = {"max_drop": 0.01, "confidence": 0.95}
    gates = [
        {"metric": "AUC", **limits},
        {"metric": "SparseCategoricalAccuracy", **limits},
        {"metric": "Recall", "slices": [{"by": "x", **limits}]},
        {"metric": "Precision", "max_drop": 0.01},
    ]
    assert Gate.model_validate({"accuracy": gates}).measured().resampled == ["AUC", "Recall"]
