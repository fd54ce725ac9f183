"""Outputs of many values: autoencoders, masks and several labels at once.

What the gate measures is held against NumPy and scikit-learn.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from components.common.base.label import SAME_AS_INPUT
from components.common.data.model_inputs import ExamplesError
from components.distiller.executor import distill
from components.distiller.params import DistillOptions
from components.pruner.executor import prune
from components.pruner.params import PruneOptions
from tests.components.conftest import run_step
from tests.components.model_kinds.kinds import points


def test_an_autoencoder_learns_to_give_what_it_gets_in_every_step(make_kind: Any) -> None:
    flags = {"strange": np.zeros(600, np.int64)}, {"strange": np.arange(120) % 6 // 5}
    rows = (points(120, 2) * (1 + 2 * flags[1]["strange"][:, None])).astype(np.float32)
    splits = ({"x": x, **flag} for x, flag in zip((points(600, 1), rows), flags, strict=True))
    kind = make_kind("autoencoder", SAME_AS_INPUT, *splits)
    pruned = kind.job("pruned", PruneOptions(sparsity=0.3, epochs=2))
    facts = run_step(prune, pruned)
    candidate = kind.converted("pruned-int8", pruned.output, quantization="int8")

    strange = {"metric": "reconstruction_auc", "anomaly": "strange", "min": 0.5}
    verdict = kind.judged(candidate, [{"metric": "MeanSquaredError", "max": 2.0}, strange])

    rows = kind.columns["x"]
    apart = np.mean((kind.predicted(candidate)["again"].reshape(rows.shape) - rows) ** 2, axis=1)
    odd = kind.columns["strange"] > 0
    pairs = apart[odd][:, None] - apart[~odd][None]
    auc = np.mean((pairs > 0) + 0.5 * (pairs == 0))
    _, found = verdict.measured.accuracies
    assert (found.title, found.higher_is_better) == ("reconstruction_auc by strange", True)
    assert found.candidate == pytest.approx(auc, abs=1e-3)
    assert 0.7 < auc < found.baseline + 0.05
    error = np.mean((kind.predicted(candidate)["again"].reshape(rows.shape) - rows) ** 2)
    assert kind.history["val_loss"][-1] < 0.6 * np.mean(rows**2)
    assert facts["final_val_loss"] < np.mean(rows**2)
    assert verdict.blessed, verdict.reasons
    assert verdict.measured.accuracies[0].candidate == pytest.approx(error, rel=1e-3)
    # Numbers that are listed as classes are looked up, whatever the first one is.
    assert dataclasses.replace(kind.examples, label="x", classes=(1, 2)).vocabulary().names == ("1", "2")
    with pytest.raises(ExamplesError, match=r"data\.classes are text"):
        dataclasses.replace(kind.examples, label="x", classes=("a", "b")).vocabulary()


def masks_of(x: np.ndarray) -> dict[str, np.ndarray]:
    """A class for each of the four pixels: dark, grey and light."""
    return {
        "x": x,
        "classes": np.digitize(x, [-0.5, 0.7]).astype(np.int64),
        "group": (x[:, 0] > 0).astype(int),
    }


def test_a_mask_of_class_indices_is_learnt_and_judged_pixel_by_pixel(make_kind: Any) -> None:
    kind = make_kind("segmentation", "classes", masks_of(points(600, 1)), masks_of(points(120, 2)))
    pruned = kind.job("pruned", PruneOptions(sparsity=0.25, epochs=2))
    run_step(prune, pruned)
    candidate = kind.converted("pruned-int8", pruned.output, quantization="int8")
    overlap = {"num_classes": 3, "sparse_y_pred": False}

    verdict = kind.judged(
        candidate,
        [
            {"metric": "SparseCategoricalAccuracy", "min": 0.8, "slices": [{"by": "group", "min": 0.5}]},
            {"metric": "MeanIoU", "config": overlap, "min": 0.6},
        ],
    )

    found = kind.predicted(candidate)["mask"].argmax(axis=-1).reshape(len(kind.columns["x"]), 4)
    right = kind.columns["classes"]
    accuracy, iou = verdict.measured.accuracies
    assert verdict.blessed, verdict.reasons
    assert kind.history["val_accuracy"][-1] > 0.9
    assert accuracy.candidate == pytest.approx((found == right).mean(), abs=1e-6)
    assert iou.candidate == pytest.approx(
        metrics.jaccard_score(right.ravel(), found.ravel(), average="macro"), abs=1e-6
    )
    for entry in accuracy.slices:
        chosen = kind.columns["group"] == int(entry.values[0].value)
        assert entry.candidate == pytest.approx((found == right)[chosen].mean(), abs=1e-6)
        assert entry.examples == chosen.sum()
    # Images are resampled, and not pixels.
    each = (found == right).mean(axis=1)
    error = each.std() / np.sqrt(len(each))
    interval = accuracy.uncertainty.candidate
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * error, rel=0.3)
    assert accuracy.chance.constant == pytest.approx(
        np.bincount(right.ravel()).max() / right.size, abs=1e-6
    )


def tags_of(x: np.ndarray) -> dict[str, np.ndarray]:
    tags = np.stack([x[:, 0] > 0, x[:, 1] + x[:, 2] > 0.5, x[:, 3] < -0.3], axis=1)
    return {"x": x, "tags": tags.astype(np.int64), "group": (x[:, 0] > 1).astype(np.int64)}


def test_several_labels_at_once_are_judged_by_metrics_of_vectors(make_kind: Any) -> None:
    kind = make_kind("multilabel", "tags", tags_of(points(600, 3)), tags_of(points(120, 4)))
    candidate = kind.converted("int8", quantization="int8", io="int8")
    sections = [
        {"metric": "BinaryAccuracy", "min": 0.8, "slices": [{"by": "group", "min": 0.5}]},
        {"metric": "AUC", "config": {"num_thresholds": 10000}, "max_drop": 0.02},
        {"metric": "Precision", "config": {"top_k": 1}, "min": 0.5},
        {"metric": "Precision", "min": 0.5},
    ]
    verdict = kind.judged(candidate, sections)
    assert verdict.blessed, verdict.reasons
    found = {entry.title: entry for entry in verdict.measured.accuracies}
    given, tags = kind.predicted(candidate)["tags"], kind.columns["tags"]
    right = (given > 0.5) == tags
    assert found["BinaryAccuracy"].candidate == pytest.approx(right.mean(), abs=1e-6)
    for entry in found["BinaryAccuracy"].slices:
        chosen = kind.columns["group"] == int(entry.values[0].value)
        assert entry.candidate == pytest.approx(right[chosen].mean(), abs=1e-6)
    # Of all labels as one list: the micro average.
    area = metrics.roc_auc_score(tags.ravel(), given.ravel())
    assert found["AUC(num_thresholds=10000)"].candidate == pytest.approx(area, abs=1e-3)
    best = tags[np.arange(len(tags)), given.argmax(axis=1)]
    assert found["Precision(top_k=1)"].candidate == pytest.approx(best.mean(), abs=1e-6)
    assert found["Precision"].candidate == pytest.approx(tags[given > 0.5].mean(), abs=1e-6)
    student = kind.job(
        "student", DistillOptions(student="smaller_multilabel", epochs=8, learning_rate=0.01)
    )
    run_step(distill, student)
    assert np.mean((kind.by_keras(student.output)["tags"] > 0.5) == tags) > 0.8
