"""Options of a step that make no sense are refused by line, key and fix."""

from __future__ import annotations

import pytest

from tests.pipeline.config.small_config import change, with_chain
from tests.project import config_problem


@pytest.mark.parametrize(
    ("quantization", "io", "needed"),
    [("int8", "int16", "int16x8"), ("dynamic", "int8", "int8"), ("float32", "int16", "int16x8")],
)
def test_io_that_does_not_fit_the_quantization_is_refused(tmp_path, quantization, io, needed):
    step = f"convert: {{quantization: {quantization}, io: {io}}}  # here"
    problem = config_problem(tmp_path, with_chain(step))

    assert problem.key() == "candidates.int8[0].convert"
    assert problem.message == (
        f"io: {io} needs quantization: {needed} (this is {quantization}); write io: float32 or "
        "change the quantization"
    )


@pytest.mark.parametrize(
    ("sparsity", "message"),
    [
        ("0", "must be greater than 0, but is 0"),
        ("-0.1", "must be greater than 0, but is -0.1"),
        ("1", "must be less than 1, but is 1"),
        ("1.5", "must be less than 1, but is 1.5"),
        (".nan", "must be a finite number, but is nan"),
        ('"0.8"', "must be a number, but is '0.8'"),
        ("true", "must be a number, but is True"),
    ],
)
def test_sparsity_outside_0_to_1_is_refused(tmp_path, sparsity, message):
    prune = f"prune: {{epochs: 1,\n             sparsity: {sparsity}}}  # here"
    problem = config_problem(tmp_path, with_chain(prune, "convert: {quantization: int8}"))

    assert problem.key() == "candidates.int8[0].prune.sparsity"
    assert problem.message == message


def test_initial_sparsity_above_the_target_is_refused(tmp_path):
    prune = "prune: {sparsity: 0.5, initial_sparsity: 0.6}  # here"
    problem = config_problem(tmp_path, with_chain(prune, "convert: {quantization: int8}"))

    assert problem.key() == "candidates.int8[0].prune"
    assert problem.message == "initial_sparsity (0.6) must be below sparsity (0.5)"


@pytest.mark.parametrize(
    ("written", "key", "expected"),
    [
        pytest.param(
            "epochs: 2, steps: 100", "", "epochs (2) and steps (100) both say how long to train; write one",
            id="two lengths",
        ),
        pytest.param(
            "early_stopping: {}", "", "early_stopping compares epochs, but there is only one", id="one epoch"
        ),
        pytest.param(
            "epochs: 9, early_stopping: {monitor: accuracy}", ".early_stopping",
            "monitor: accuracy is measured on the training split", id="monitor of the training split",
        ),
        pytest.param(
            "epochs: 9, early_stopping: {patience: 2, minimum: 1}", ".early_stopping.minimum",
            "unknown key", id="unknown key of early_stopping",
        ),
        pytest.param(
            "learning_rate_schedule: {kind: cosinus}", ".learning_rate_schedule.kind",
            "'cosinus' is not one of constant, linear, cosine, exponential; did you mean 'cosine'?",
            id="misspelt schedule",
        ),
        pytest.param(
            "learning_rate_schedule: {warmup: 10}", ".learning_rate_schedule.warmup",
            "must be less than 1, but is 10", id="warm-up in steps",
        ),
        pytest.param(
            "learning_rate_schedule: cosine", ".learning_rate_schedule",
            "must be a mapping with keys of kind, warmup, end, but is 'cosine'", id="schedule without keys",
        ),
        pytest.param("seed: -1", ".seed", "must be at least 0, but is -1", id="negative seed"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("step", ["fine_tune", "qat", "baseline"])
def test_training_that_makes_no_sense_is_refused_in_every_step(tmp_path, step, written, key, expected):
    if step == "baseline":
        if written.startswith("early_stopping"):
            written = f"epochs: 1, {written}"
        text = change("configs.mnist.model", f"configs.mnist.model\n  train: {{{written}}}  # here")
        where = "model.train"
    else:
        text = with_chain(f"{step}: {{{written}}}  # here", "convert: {quantization: int8}")
        where = f"candidates.int8[0].{step}"
    problem = config_problem(tmp_path, text)

    assert problem.key() == where + key
    assert problem.message.startswith(expected)
