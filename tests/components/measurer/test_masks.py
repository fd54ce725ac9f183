"""Metrics of masks: outputs of (height, width, classes), and labels as flat lists."""

from __future__ import annotations

import re

import numpy as np
import pytest
from sklearn import metrics

from components.common.models.output_kind import OutputKind
from components.measurer import accuracy, batch_metrics
from components.measurer.params import Metric
from components.predictor.predictions import Predictions, Values, _laid_out

RNG = np.random.default_rng(5)
IMAGES, HEIGHT, WIDTH, CLASSES = 30, 3, 5, 4
MASKS = RNG.integers(0, CLASSES, (IMAGES, HEIGHT * WIDTH))
SCORES = RNG.random((IMAGES, HEIGHT, WIDTH, CLASSES)).astype(np.float32)
FOUND = SCORES.argmax(-1).reshape(IMAGES, -1)
MEAN_IOU = {"num_classes": CLASSES, "sparse_y_pred": False}


def measured(labels: Values, scores: Values, output: str | None = None, **asked: object) -> float:
    """A metric of the candidate."""
    labels, outputs = _laid_out(labels, {"candidate": scores, "baseline": scores})
    figure = Metric.model_validate({**asked, "output": output})
    config = accuracy.eval_config([figure], "mask" if output is None else {output: "mask"})
    values = batch_metrics.evaluate(Predictions(labels, outputs, {}), config)[()]
    found = accuracy.value_of(values, "candidate", figure)
    assert found is not None
    return found


@pytest.mark.parametrize("output", [None, "out"])
def test_indices_of_classes_are_compared_place_by_place(output: str | None) -> None:
    labels: Values = {output: MASKS} if output else MASKS
    scores: Values = {output: SCORES} if output else SCORES
    right = (FOUND == MASKS).mean()
    iou = metrics.jaccard_score(MASKS.ravel(), FOUND.ravel(), average="macro")
    assert measured(labels, scores, output, metric="SparseCategoricalAccuracy") == pytest.approx(
        right, abs=1e-6
    )
    assert measured(labels, scores, output, metric="MeanIoU", config=MEAN_IOU) == pytest.approx(
        iou, abs=1e-6
    )
    one = metrics.jaccard_score(MASKS.ravel(), FOUND.ravel(), labels=[2], average="macro")
    config = {**MEAN_IOU, "target_class_ids": [2]}
    assert measured(labels, scores, output, metric="IoU", config=config) == pytest.approx(one, abs=1e-6)


def test_masks_of_one_class_are_compared_value_by_value() -> None:
    labels, scores = (MASKS > 1).astype(np.int64), SCORES[..., :1]
    found = scores.reshape(IMAGES, -1) > 0.5
    same = (found == labels).mean()
    assert measured(labels, scores, metric="BinaryAccuracy") == pytest.approx(same, abs=1e-6)
    iou = metrics.jaccard_score(labels.ravel(), found.ravel(), average=None, labels=[0, 1]).mean()
    assert measured(labels, scores, metric="BinaryIoU") == pytest.approx(iou, abs=1e-6)


def kind(loss: str, classes: int = CLASSES) -> OutputKind:
    return OutputKind("mask", (HEIGHT, WIDTH, classes), loss, "multiclass", "softmax", True)


@pytest.mark.parametrize(
    ("loss", "width", "metric", "config", "message"),
    [
        ("sparse_categorical_crossentropy", 15, "SparseCategoricalAccuracy", {}, None),
        ("sparse_categorical_crossentropy", 15, "MeanIoU", MEAN_IOU, None),
        ("categorical_crossentropy", 15, "SparseCategoricalAccuracy", {}, None),
        (
            "sparse_categorical_crossentropy",
            15,
            "CategoricalAccuracy",
            {},
            "write SparseCategoricalAccuracy, or",
        ),
        (
            "sparse_categorical_crossentropy",
            15,
            "AUC",
            {},
            "does not take the index of a class at each place",
        ),
        ("categorical_crossentropy", 60, "CategoricalAccuracy", {}, r"give the index of .* \(15 values\)"),
        (
            "categorical_crossentropy",
            60,
            "MeanIoU",
            {**MEAN_IOU, "sparse_y_true": False},
            "would look for the largest",
        ),
        ("mean_squared_error", 60, "MeanSquaredError", {}, None),
    ],
)
def test_metrics_that_do_not_go_with_masks_are_refused(
    loss: str, width: int, metric: str, config: dict[str, object], message: str | None
) -> None:
    output = kind(loss)
    assert output.label_misfit("classes", width) is None
    found = output.metric_misfit(metric, width, config)
    assert found is None if message is None else re.search(message, str(found))


def test_masks_of_another_size_or_number_of_classes_are_refused() -> None:
    output = kind("sparse_categorical_crossentropy")
    assert "has 16 values in an example" in str(output.label_misfit("classes", 16))
    assert output.config_misfit("MeanIoU", {**MEAN_IOU, "num_classes": 5}) == (
        "num_classes",
        "is 5, and output 'mask' has 4 classes",
    )
