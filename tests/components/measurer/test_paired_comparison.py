"""How candidate and baseline compare: intervals, what a constant prediction would reach, classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from components.measurer import accuracy
from components.measurer.paired_comparison import Comparison, compare
from components.measurer.params import Metric
from components.predictor.predictions import Column, Predictions

COUNT = 2000
RNG = np.random.default_rng(2)
CLASSES = RNG.choice(4, COUNT, p=[0.6, 0.2, 0.1, 0.1])
PARITY = np.arange(COUNT) % 2


def predicted(right: np.ndarray, labels: np.ndarray = CLASSES) -> np.ndarray:
    """Probabilities whose largest is of the right class if `right`, else of the next one."""
    return np.eye(4, dtype=np.float32)[np.where(right, labels, (labels + 1) % 4)] * 0.7 + 0.1


def compared(candidate: Any, baseline: Any, labels: Any, metric: str, **more: Any) -> Comparison:
    thorough = more.pop("thorough", False)
    gate = Metric.model_validate({"metric": metric, "slices": [{"by": "parity"}], **more})
    columns = {"parity": Column(((0,), (1,)), PARITY[: len(labels)])}
    predictions = Predictions(
        labels.reshape(len(labels), -1), {"candidate": candidate, "baseline": baseline}, columns
    )
    config = accuracy.eval_config([gate], "label")
    values = accuracy.batch_metrics.evaluate(predictions, config)[()]
    value = accuracy.value_of(values, "baseline", gate)
    assert value is not None
    return compare(predictions, gate, "label", value, seed=7, thorough=thorough)


def test_the_interval_of_a_drop_is_that_of_paired_examples(rng: np.random.Generator) -> None:
    baseline = rng.random(COUNT) < 0.95
    candidate = baseline & (rng.random(COUNT) < 0.98)  # wrong if the baseline is, and in 2 % more
    found = compared(predicted(candidate), predicted(baseline), CLASSES, "SparseCategoricalAccuracy")

    assert found.uncertainty.keys() == {(), (("parity", 0),), (("parity", 1),)}
    for key, one in found.uncertainty.items():
        chosen = np.full(COUNT, True) if not key else key[0][1] == PARITY
        change = candidate[chosen].astype(float) - baseline[chosen]
        # For a mean of that many examples, a normal distribution is close.
        half = 1.96 * change.std() / np.sqrt(chosen.sum())
        difference = [one.difference.low, one.difference.high]
        assert difference == pytest.approx([change.mean() - half, change.mean() + half], abs=0.15 * half)
        drop = one.drop(ascending=True)
        assert [drop.low, drop.high] == [-difference[1], -difference[0]]
        # Not paired, both shares' spread would add up.
        assert half < 0.6 * 1.96 * np.sqrt(2 * 0.05 * 0.95 / chosen.sum())
        assert one.candidate.low < candidate[chosen].mean() < one.candidate.high
        assert one.ratio.low < candidate[chosen].mean() / baseline[chosen].mean() < one.ratio.high
        assert (one.confidence, one.resamples) == (0.95, 1000)
    again = compared(predicted(candidate), predicted(baseline), CLASSES, "SparseCategoricalAccuracy")
    assert again.uncertainty == found.uncertainty


def test_the_interval_of_an_error_is_that_of_its_mean(rng: np.random.Generator) -> None:
    labels = rng.normal(size=COUNT).astype(np.float32)
    models = [
        labels[:, np.newaxis] + rng.normal(size=(COUNT, 1)).astype(np.float32) * s for s in (0.3, 0.2)
    ]
    found = compared(*models, labels, "MeanSquaredError").uncertainty[()]
    errors = [(model[:, 0].astype(float) - labels) ** 2 for model in models]
    half = 1.96 * (errors[0] - errors[1]).std() / np.sqrt(COUNT)
    change = errors[0].mean() - errors[1].mean()
    assert [found.difference.low, found.difference.high] == pytest.approx(
        [change - half, change + half], abs=0.15 * half
    )
    assert found.drop(ascending=False) == found.difference
    # Labels without an axis for their one value, as Transform makes them.
    gate = Metric(metric="MeanSquaredError")
    flat = Predictions(labels, {"candidate": models[0], "baseline": models[1]}, {})
    same = compare(flat, gate, "label", float(errors[1].mean()), seed=7)
    assert same.uncertainty[()].difference.low == pytest.approx(found.difference.low, rel=1e-3)
    assert same.chance is not None and same.chance.constant == pytest.approx(labels.var(), rel=1e-3)


def test_a_metric_that_is_not_a_mean_is_resampled_if_asked_for(rng: np.random.Generator) -> None:
    labels = (np.arange(200) % 2).astype(np.float32)
    scores = rng.normal(size=200) + labels
    models = [
        (1 / (1 + np.exp(-scores - rng.normal(size=200) * s)))[:, np.newaxis].astype(np.float32)
        for s in (0.5, 0)
    ]
    found = compared(*models, labels, "AUC")
    assert found.uncertainty == {}
    assert found.not_resampled == "AUC is not a mean over examples, and no limit on it sets confidence"
    found = compared(*models, labels, "Recall", thorough=True)
    one = found.uncertainty[()]
    assert found.not_resampled == "" and one.resamples == 200
    recall = (models[0][labels == 1] > 0.5).mean()
    half = 1.96 * np.sqrt(recall * (1 - recall) / 100)
    assert [one.candidate.low, one.candidate.high] == pytest.approx(
        [recall - half, recall + half], abs=0.03
    )


@pytest.mark.parametrize(
    ("computed", "resamples"), [(40_000, 200), (30_000, 150), (20_000, 100), (19_999, None)]
)
def test_how_often_a_metric_is_computed_depends_on_the_number_of_examples_alone(
    computed: int, resamples: int | None, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setattr("components.measurer.bootstrap._COMPUTED", computed)
    labels = (np.arange(200) % 2).astype(np.float32)
    model = rng.random((200, 1)).astype(np.float32)
    found = compared(model, model, labels, "Recall", thorough=True)
    if resamples is None:
        assert found.uncertainty == {}
        assert (
            found.not_resampled == "there are too many examples to compute Recall again for each resample"
        )
    else:
        assert found.uncertainty[()].resamples == resamples


def test_of_the_baseline_alone_chance_is_known() -> None:
    labels = (np.arange(200) % 2).astype(np.float32)
    both = Predictions(labels, dict.fromkeys(("candidate", "baseline"), labels[:, np.newaxis]), {})
    alone = Predictions(labels, {"baseline": both.outputs["baseline"]}, {})
    asked = Metric(metric="AUC")
    found = compare(alone, asked, "label", 1.0, seed=7)
    assert found.chance == compare(both, asked, "label", 1.0, seed=7).chance is not None
    assert found.uncertainty == {} and "Beam's workers" in found.not_resampled


@pytest.mark.parametrize(
    ("metric", "constant", "perfect"),
    [
        ("SparseCategoricalAccuracy", (CLASSES == 0).mean(), 1),
        ("AUC", 0.5, 1),
        # "positive" for each class finds every one: as good as perfect, and so it says nothing.
        ("Recall", 0, 1),
    ],
)
def test_a_constant_prediction_of_classes(
    metric: str, constant: float, perfect: float, rng: np.random.Generator
) -> None:
    right = predicted(rng.random(COUNT) < 0.9)
    chance = compared(right, right, CLASSES, metric).chance
    assert chance is not None
    # Over all classes at once, the shares of classes order some pairs rightly.
    assert (chance.constant, chance.perfect) == (
        pytest.approx(constant, abs=1e-6 if metric != "AUC" else 0.4),
        pytest.approx(perfect, abs=1e-3),
    )


def test_a_constant_prediction_of_a_binary_label_and_of_an_amount(rng: np.random.Generator) -> None:
    labels = (rng.random(COUNT) < 0.3).astype(np.float32)
    model = np.clip(labels + rng.normal(size=COUNT) * 0.3, 0, 1).astype(np.float32)[:, np.newaxis]
    for metric, constant in (("AUC", 0.5), ("BinaryAccuracy", 1 - labels.mean()), ("FallOut", 1.0)):
        chance = compared(model, model, labels, metric).chance
        assert chance is not None and chance.constant == pytest.approx(constant, abs=1e-6)
        assert chance.skill(chance.constant) == 0 and chance.skill(chance.perfect) == 1
    share = labels.mean()
    assert chance.margin == pytest.approx(2 / np.sqrt(COUNT * 4 * share * (1 - share)))
    amounts = rng.exponential(size=COUNT).astype(np.float32)
    model = amounts[:, np.newaxis] + 0.1
    for metric, wanted in (
        ("MeanSquaredError", amounts.var()),
        ("MeanAbsoluteError", np.abs(amounts - np.median(amounts)).mean()),
    ):
        chance = compared(model, model, amounts, metric).chance
        assert chance is not None and chance.constant == pytest.approx(wanted, rel=1e-4)
        assert (chance.perfect, chance.margin) == (0, 0.02)


def test_a_class_that_the_candidate_has_lost(rng: np.random.Generator) -> None:
    baseline = rng.random(COUNT) < 0.95
    candidate = baseline & ((CLASSES != 3) | (rng.random(COUNT) < 0.1))
    classes = compared(
        predicted(candidate), predicted(baseline), CLASSES, "SparseCategoricalAccuracy"
    ).classes
    assert classes is not None
    assert (classes.most_common, classes.share) == (0, pytest.approx((CLASSES == 0).mean()))
    (lost,) = classes.lost
    of_class = CLASSES == 3
    assert (lost.index, lost.examples) == (3, of_class.sum())
    assert lost.candidate == pytest.approx(candidate[of_class].mean())
    assert lost.baseline == pytest.approx(baseline[of_class].mean())
    assert "examples of class 3, the baseline 9" in lost.text
    # Labels as one of four, and amounts.
    one_hot = np.eye(4, dtype=np.float32)[CLASSES]
    same = compared(predicted(candidate), predicted(baseline), one_hot, "CategoricalAccuracy").classes
    assert same == classes
    amounts = rng.normal(size=COUNT).astype(np.float32)
    model = amounts[:, np.newaxis]
    assert compared(model, model, amounts, "MeanSquaredError").classes is None
