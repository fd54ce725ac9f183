"""Regression from its training to the gate. What the gate measures is held against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from components.common.models import model_files
from components.distiller.executor import distill
from components.distiller.params import DistillOptions
from tests.components.conftest import run_step
from tests.components.model_kinds.kinds import Kind, points


def values_of(x: np.ndarray) -> dict[str, np.ndarray]:
    return {"x": x, "y": (2 * x[:, 0] - x[:, 1]).astype(np.float32)}


@pytest.fixture(scope="module")
def regression(make_kind: Any) -> Kind:
    return make_kind("regression", "y", values_of(points(600, 1)), values_of(points(120, 2)))


def test_regression_is_trained_on_the_error_of_each_example(regression: Kind) -> None:
    """Labels of shape (n,) against outputs of shape (n, 1) must not become n × n differences."""
    errors = regression.by_keras(regression.uri)["value"][:, 0] - regression.columns["y"]
    assert regression.history["val_mae"][-1] == pytest.approx(np.abs(errors).mean(), rel=1e-4)
    assert np.abs(errors).mean() < 0.3


def test_regression_is_judged_by_its_error_with_less_being_better(regression: Kind) -> None:
    candidate = regression.converted("int8", quantization="int8", io="int8")
    verdict = regression.judged(candidate, {"metric": "MeanSquaredError", "max": 1, "max_drop": -0.5})
    expected = {
        side: np.mean((regression.predicted(uri)["value"][:, 0] - regression.columns["y"]) ** 2)
        for side, uri in (
            ("candidate", candidate),
            ("baseline", regression.converted("float32", quantization="float32")),
        )
    }
    measured = verdict.measured.accuracy
    assert measured.higher_is_better is False
    for side, value in expected.items():
        assert getattr(measured, side) == pytest.approx(value, rel=1e-4)
    met, missed = [j for j in verdict.judgements if j.figure == "accuracy"]
    assert (met.bound, met.met) == ("max", True)
    assert missed.value == pytest.approx(expected["candidate"] - expected["baseline"], rel=1e-3)
    assert missed.reason.startswith("MeanSquaredError is ")
    assert missed.reason.endswith("worse than the baseline, -0.5 allowed")


def test_a_regression_teaches_a_smaller_one(regression: Kind) -> None:
    options = DistillOptions(student="smaller", epochs=8, batch_size=32, learning_rate=0.01)
    job = regression.job("student", options)
    run_step(distill, job)
    errors = regression.by_keras(job.output)["value"][:, 0] - regression.columns["y"]
    assert np.abs(errors).mean() < 0.6
    assert model_files.load(job.output).get_layer("hidden").units == 6
