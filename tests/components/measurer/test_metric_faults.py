"""Metrics that fail on the labels name themselves and the labels, whatever TFMA or Keras raise inside."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tensorflow_model_analysis.metrics import mean_regression_error

from components.common.base.errors import reason_of
from components.common.base.metric_facts import undefined_for
from components.measurer import accuracy, batch_metrics
from components.measurer.batch_metrics import MetricError
from components.measurer.params import Metric
from components.predictor.predictions import Predictions

LABELS = np.array([[0.0], [1.0], [2.0], [0.0], [4.0]], np.float32)


def measured(labels: np.ndarray, metric: str, **config: object) -> float | None:
    figure = Metric(metric=metric, config=config)
    predicted = (labels + 0.5).astype(np.float32)
    predictions = Predictions(labels, {"candidate": predicted, "baseline": predicted}, {})
    values = batch_metrics.evaluate(predictions, accuracy.eval_config([figure], "y"))
    return accuracy.value_of(values[()], "candidate", figure)


def test_a_percentage_of_labels_that_are_all_0_is_not_defined() -> None:
    value = measured(LABELS * 0, "MeanAbsolutePercentageError")
    assert value is not None and math.isnan(value)
    assert undefined_for("MeanAbsolutePercentageError").startswith(
        "it divides by the label, and all labels are 0"
    )
    # TFMA leaves out examples whose label is 0.
    assert measured(LABELS, "MeanAbsolutePercentageError") == pytest.approx(
        100 * np.mean([0.5, 0.25, 0.125])
    )


def test_a_division_by_zero_names_the_metric_and_the_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    def divide(self: object, label: np.ndarray, prediction: np.ndarray) -> float:
        return 100 * abs(label.item() - prediction.item()) / label.item()

    monkeypatch.setattr(
        mean_regression_error._MeanAbsolutePercentageErrorCombiner, "_regression_error", divide
    )
    with pytest.raises(MetricError) as refused:
        measured(LABELS, "MeanAbsolutePercentageError")
    assert reason_of(refused.value) == (
        "MetricError: MeanAbsolutePercentageError cannot be computed from 5 examples of the eval split, labels of "
        "shape (1,) and predictions of shape (1,), 2 of 5 labels being 0 (ZeroDivisionError: float division by zero); "
        "write another metric, or fix the labels"
    )


def test_an_error_of_keras_names_the_metric_in_one_line() -> None:
    with pytest.raises(MetricError) as refused:
        measured(LABELS, "MeanRelativeError", normalizer=[1.0])
    text = str(refused.value)
    assert text.startswith(
        "MeanRelativeError(normalizer=[1.0]) cannot be computed from 5 examples of the eval split"
    )
    assert "\n" not in text and len(text) < 450
