"""Configs without data.label, and class weights that nothing reads."""

from __future__ import annotations

import pytest

from pipeline.checks import unlabelled
from pipeline.config.config import Config

AGREEMENT = {"metric": "agreement", "max_drop": 0.1}
INT8 = {"convert": {"quantization": "int8"}}


def problems(
    steps: list[dict], accuracy: dict | None = None, model: dict | None = None, **data: object
) -> list[str]:
    config = Config.model_validate(
        {
            "name": "x",
            "data": {"path": "data", **data},
            "model": model or {"import": "model.h5"},
            "candidates": {"one": [*steps, INT8]},
            "gate": {"accuracy": accuracy or AGREEMENT},
            "push": {"directory": "serving"},
        }
    )
    return [f"{problem.key()}: {problem.message}" for problem in unlabelled.check(config)]


def test_an_imported_model_that_learns_from_itself_needs_no_label() -> None:
    assert problems([{"prune": {"sparsity": 0.5}}, {"qat": {}}, {"fine_tune": {}}]) == []
    error = {"metric": "MeanAbsoluteError", "against": "baseline", "max": 0.1}
    assert problems([], error) == []


@pytest.mark.parametrize(
    ("steps", "accuracy", "model", "message"),
    [
        ([], None, {"module": "own.model"}, "data.label: is missing: the feature that the model predicts"),
        ([{"qat": {"teacher": "labels"}}], None, None, "candidates.one[0].qat.teacher: qat learns from labels"),
        ([{"distill": {}}], None, {"module": "own.model", "import": "model.h5"},
         "candidates.one[0].distill: distill learns from labels, and data.label is missing; write data.label, or "),
        ([], {"metric": "AUC", "min": 0.9}, None, "gate.accuracy.metric: AUC compares predictions with labels"),
    ],
)  # fmt: skip
def test_what_needs_labels_is_refused(
    steps: list[dict], accuracy: dict | None, model: dict | None, message: str
) -> None:
    (problem,) = problems(steps, accuracy, model)
    assert problem.startswith(message)


def test_weights_of_labels_that_no_step_reads_are_refused() -> None:
    (problem,) = problems([{"qat": {}}], label="kind", class_weights="balanced")
    assert problem.startswith(
        "candidates.one[0].qat: qat learns from the baseline's outputs, but data.class_weights"
    )
    assert problems([{"qat": {"teacher": "labels"}}], label="kind", class_weights="balanced") == []
