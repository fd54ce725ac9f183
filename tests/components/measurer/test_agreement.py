"""Agreement with the baseline, on files, without labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from components.common.models import model_files
from components.common.tflite.litert import LiteRTModel
from components.evaluator.params import AccuracyGate, Gate, SliceLimits
from components.evaluator.verdict import VERDICT_FILE, Verdict
from components.measurer import agreement
from components.measurer.measured import slice_text
from components.predictor.predictions import Column, Predictions
from pipeline.run import verdict_table
from tests.components.conftest import Step
from tests.components.evaluating import evaluate
from tests.conftest import SEED, Digits, Trained

AGREEMENT = AccuracyGate(metric="agreement", max_drop=0.4)


@pytest.mark.parametrize(
    ("baseline", "candidate", "share"),
    [
        ([[0.7, 0.3], [0.4, 0.6], [0.9, 0.1], [0.2, 0.8]], [[0.6, 0.4], [0.8, 0.2], [1.0, 0.0], [0.5, 0.5]], 0.5),
        ([[0.7], [0.4], [0.5]], [[0.51], [0.6], [0.5]], 2 / 3),
        ([[0.9, 0.8], [0.1, 0.2]], [[0.9, 0.1], [0.3, 0.4]], 0.75),  # two sigmoids
    ],
)  # fmt: skip
def test_the_share_of_the_same_decisions(baseline: Any, candidate: Any, share: float) -> None:
    values = np.array(baseline, np.float32), np.array(candidate, np.float32)
    assert agreement.share_of_same_decisions(*values) == pytest.approx(share)


def test_an_error_against_the_baseline() -> None:
    gate = AccuracyGate(metric="MeanAbsoluteError", against="baseline", max=2)
    baseline, candidate = np.array([[1.0], [3.0]], np.float32), np.array([[2.0], [-1.0]], np.float32)
    assert agreement.figure_of(gate, baseline, candidate) == pytest.approx(2.5)
    assert agreement.figure_of(gate, baseline, baseline) == 0
    assert (gate.title(), gate.ascending()) == ("MeanAbsoluteError against the baseline", False)


def test_agreement_has_an_interval_for_a_limit_with_confidence() -> None:
    baseline = np.tile(np.array([[0.9, 0.1]], np.float32), (400, 1))
    candidate = baseline.copy()
    candidate[:40] = candidate[:40, ::-1]
    gate = AccuracyGate(metric="agreement", max_drop=0.12, confidence=0.95)
    found = agreement.uncertainty_of(gate, baseline, candidate, seed=1)
    assert found is not None
    drop = found.drop(gate.ascending())
    # 0.1 ± 1.96 standard errors of 400 draws.
    assert [drop.low, drop.high] == pytest.approx([0.1 - 0.0294, 0.1 + 0.0294], abs=0.005)
    assert not gate.needs_resampling()
    root = AccuracyGate(metric="RootMeanSquaredError", against="baseline", max=1)
    assert agreement.uncertainty_of(root, baseline, candidate, seed=1) is None


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"against": "label"}, "agreement always compares with the baseline"),
        ({"config": {"name": "x"}}, "agreement takes no arguments"),
    ],
)
def test_what_agreement_is_not(written: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AccuracyGate(metric="agreement", **written)


def test_each_slice_has_an_agreement_of_its_own() -> None:
    baseline = np.tile(np.array([[0.9, 0.1]], np.float32), (40, 1))
    candidate = baseline.copy()
    candidate[:6] = candidate[:6, ::-1]
    kinds = Column((("day",), ("night",)), np.repeat([0, 1], [10, 30]))
    predictions = Predictions({}, {"candidate": candidate, "baseline": baseline}, {"kind": kinds})
    gate = AccuracyGate(metric="agreement", max_drop=0.2, slices=[SliceLimits(by="kind", max_drop=0.5)])
    (asked,) = Gate(accuracy=[gate]).measured().metrics

    found = agreement.measure(predictions, asked, SEED)

    assert [(slice_text(one.slice), one.candidate, one.examples) for one in found.values] == [
        ("", 0.85, 40), ("kind=day", 0.4, 10), ("kind=night", 1.0, 30),
    ]  # fmt: skip
    assert all(one.baseline == 1 and one.uncertainty for one in found.values)


def test_a_verdict_on_examples_without_labels(
    trained: Trained,
    pruned: Step,
    converted: Callable[..., Step],
    mnist_examples: Any,
    mnist_arrays: dict[str, Digits],
    tmp_path: Path,
) -> None:
    baseline, candidate = converted(trained.uri, "float32"), converted(pruned.uri, "int8")
    examples = dataclasses.replace(mnist_examples, label={})
    errors = AccuracyGate(metric="MeanSquaredError", against="baseline", max=0.0)

    verdict = evaluate(
        candidate.uri, baseline.uri, examples, Gate(accuracy=[AGREEMENT, errors]), str(tmp_path), SEED, []
    )

    images = mnist_arrays["eval"].images.reshape(-1, 28, 28, 1).astype(np.float32)
    outputs = [
        np.array([next(iter(model.predict({"image": image}).values())) for image in images])
        for model in (LiteRTModel(model_files.tflite_file(step.uri)) for step in (baseline, candidate))
    ]
    same = float(np.mean(outputs[0].argmax(-1) == outputs[1].argmax(-1)))
    share, error = verdict.measured.accuracies
    assert 0.3 < same < 1
    assert (share.candidate, share.baseline, share.examples) == (pytest.approx(same), 1, len(images))
    assert error.candidate == pytest.approx(np.mean((outputs[0] - outputs[1]) ** 2), rel=1e-4)
    assert error.baseline == 0 and not verdict.blessed
    assert any("MeanSquaredError against the baseline" in reason for reason in verdict.reasons)
    assert Verdict.read(str(tmp_path / VERDICT_FILE)) == verdict
    assert "agreement is the share of the baseline's own decisions" in verdict_table.title([verdict])
    heads = [column.head for column in verdict_table.columns([verdict])]
    error = "MeanSquaredError against the baseline"
    assert heads[:6] == ["agreement", "drop", "95% interval", error, "rise", "95% interval"]
