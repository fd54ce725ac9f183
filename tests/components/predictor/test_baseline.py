"""The baseline's predictions: made once, read by every measurement, and only with the file that made them."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.common.base.file_hashes import ChangedFile, model_digests
from components.common.models import model_files
from components.predictor import prediction
from components.predictor.baseline import NotPredicted, predict_baseline, read_baseline
from components.predictor.prediction import predict
from components.predictor.predictions import Predictions
from tests.components.conftest import Step
from tests.conftest import Digits, Trained


@pytest.fixture
def baseline(trained: Trained, converted: Callable[..., Step]) -> str:
    return converted(trained.uri, "float32").uri


def test_a_candidate_beside_stored_predictions_is_predicted_as_both_at_once(
    baseline: str,
    trained: Trained,
    converted: Callable[..., Step],
    mnist_examples: Any,
    mnist_arrays: dict[str, Digits],
    tmp_path: Path,
) -> None:
    candidate = model_files.tflite_file(converted(trained.uri, "int8").uri)
    predict_baseline(baseline, mnist_examples, ["label"], str(tmp_path))
    stored = read_baseline(str(tmp_path), model_digests(baseline))
    assert stored is not None and list(stored.outputs) == ["baseline"]
    assert len(stored) == len(mnist_arrays["eval"].labels)

    got = predict(mnist_examples, {"candidate": candidate}).beside(stored).in_order()

    paths = {"candidate": candidate, "baseline": model_files.tflite_file(baseline)}
    wanted = predict(mnist_examples, paths, ["label"]).in_order()
    np.testing.assert_array_equal(got.labels, wanted.labels)
    for side in paths:
        np.testing.assert_array_equal(got.outputs[side], wanted.outputs[side])
    assert got.columns["label"].rows == wanted.columns["label"].rows
    np.testing.assert_array_equal(got.columns["label"].codes, wanted.columns["label"].codes)


def test_of_a_batch_only_labels_and_outputs_stay_in_memory(
    baseline: str, mnist_examples: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[np.ndarray] = []
    joined = prediction._joined
    monkeypatch.setattr(prediction, "_joined", lambda parts: kept.extend(parts) or joined(parts))

    predict(mnist_examples, {"baseline": model_files.tflite_file(baseline)})

    assert {part.ndim for part in kept} == {1, 2} or {part.shape[-1] for part in kept} == {1, 10}
    assert all(part.flags.owndata for part in kept)  # a view would keep the images of its batch, too


def test_examples_without_labels_are_predicted(baseline: str, mnist_examples: Any, tmp_path: Path) -> None:
    examples = dataclasses.replace(mnist_examples, label={})
    predict_baseline(baseline, examples, [], str(tmp_path))
    stored = read_baseline(str(tmp_path), model_digests(baseline))
    assert stored is not None and stored.labels == {} and len(stored) > 100


def test_predictions_of_another_file_are_refused(
    baseline: str, mnist_examples: Any, tmp_path: Path
) -> None:
    predict_baseline(baseline, mnist_examples, [], str(tmp_path))
    with pytest.raises(ChangedFile, match="were made with another file than the baseline's"):
        read_baseline(str(tmp_path), {"Format-Serving/tflite": "0" * 64})


def test_what_fails_is_recorded_for_the_verdicts(
    baseline: str, mnist_examples: Any, tmp_path: Path
) -> None:
    damaged = str(tmp_path / "model")
    shutil.copytree(baseline, damaged)
    Path(model_files.tflite_file(damaged)).write_bytes(b"no model")
    record = predict_baseline(damaged, mnist_examples, [], str(tmp_path))
    assert "does not load on LiteRT" in record.failure
    with pytest.raises(NotPredicted) as raised:
        read_baseline(str(tmp_path), model_digests(damaged))
    assert str(raised.value) == record.failure


def test_predictions_of_other_examples_are_refused() -> None:
    values = np.zeros((3, 2), np.float32)
    one = Predictions(np.array([0, 1, 2]), {"baseline": values}, {})
    other = Predictions(np.array([0, 2, 1]), {"candidate": values}, {})
    with pytest.raises(ValueError, match="are of other examples"):
        other.beside(one)
    shorter = Predictions({}, {"candidate": values[:2]}, {})
    with pytest.raises(ValueError, match="are of other examples"):
        shorter.beside(Predictions({}, {"baseline": values}, {}))
