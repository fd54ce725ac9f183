"""The meaning of labels according to the metric, for every metric that TFMA can compute."""

from __future__ import annotations

import pytest

from components.common.base.metric_task import is_of_classes
from pipeline.checks.tfma_metrics import known_metrics

AMOUNTS = {
    *("MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanSquaredError", "RootMeanSquaredError"),
    *("MeanSquaredLogarithmicError", "MeanRelativeError", "LogCoshError", "R2Score", "Poisson"),
    *(
        "SquaredPearsonCorrelation",
        "KLDivergence",
        "CosineSimilarity",
        "Mean",
        "MeanLabel",
        "MeanPrediction",
    ),
}
CLASSES = {
    *("SparseCategoricalAccuracy", "BinaryAccuracy", "AUC", "Precision", "Recall", "F1Score", "MeanIoU"),
    *("BalancedAccuracy", "CategoricalCrossentropy", "MatthewsCorrelationCoefficient", "FalsePositives"),
}


@pytest.mark.tf
def test_metrics_that_tfma_has() -> None:
    known = known_metrics()
    assert known >= AMOUNTS | CLASSES
    assert {metric for metric in AMOUNTS if is_of_classes(metric)} == set()
    assert {metric for metric in CLASSES if not is_of_classes(metric)} == set()


@pytest.mark.parametrize(
    ("metric", "classes"),
    [("mean_squared_error", False), ("mae", False), ("sparse_categorical_accuracy", True), ("Own", True)],
)
def test_other_names(metric: str, classes: bool) -> None:
    assert is_of_classes(metric) is classes
