"""A model of several inputs and outputs, from its training to the gate: none is taken for another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.common.data.arrays import Arrays
from components.common.data.examples import Examples
from components.common.data.model_inputs import ExamplesError
from components.common.models import model_files
from components.common.models.model_definition import ModelDefinition
from components.common.models.output_kind import kinds
from components.distiller.error import DistillationError
from components.distiller.executor import refuse_mismatch
from components.distiller.params import DistillOptions
from components.pruner.executor import prune
from components.pruner.params import PruneOptions
from components.quantization_aware_trainer.executor import train_quantization_aware
from components.quantization_aware_trainer.params import QatOptions
from components.trainer.run_fn import refuse_misfit, train_baseline
from tests.components.conftest import run_step
from tests.components.model_kinds.kinds import MODULE, TRAINING, Kind


def pairs(count: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    small = random.uniform(0, 1, (count, 4)).astype(np.float32)
    large = random.uniform(0, 10, (count, 4)).astype(np.float32)
    gap = (4 * (small.mean(1) - large.mean(1) / 10)).astype(np.float32)
    return {"small": small, "large": large, "difference": gap, "bigger": (gap > 0).astype(np.int64)}


@pytest.fixture(scope="module")
def two(make_kind: Any) -> Kind:
    """Inputs of equal shape and other ranges, outputs of other kinds; neither in alphabetical order."""
    label = {"side": "bigger", "gap": "difference"}
    return make_kind("two", label, pairs(800, 5), pairs(120, 6))


def chain(two: Kind, technique: str) -> str:
    """Folder of the baseline's Keras model after a step."""
    if technique == "none":
        return two.uri
    work, options = {
        "prune": (prune, PruneOptions(sparsity=0.5, epochs=2, batch_size=32, learning_rate=0.005)),
        "qat": (train_quantization_aware, QatOptions(epochs=2, batch_size=32, learning_rate=0.002)),
    }[technique]
    job = two.job(technique, options)
    if not Path(job.output).exists():
        run_step(work, job)
    return job.output


@pytest.mark.parametrize(
    ("technique", "options"),
    [
        ("none", {"quantization": "int8", "io": "int8"}),
        ("prune", {"quantization": "float32"}),
        ("qat", {"quantization": "int8", "io": "int8"}),
    ],
)
def test_no_input_or_output_is_taken_for_another(two: Kind, technique: str, options: dict) -> None:
    base = chain(two, technique)
    file = two.predicted(two.converted(f"{technique}-file", base, **options))
    expected = two.by_keras(base)
    assert set(file) == set(expected) == {"side", "gap"}
    exact = options["quantization"] == "float32"
    for name, values in expected.items():
        assert np.abs(file[name] - values).max() < (1e-5 if exact else 0.8)
        assert np.abs(file[name] - values).mean() < (1e-6 if exact else 0.06)
    # The outputs still are what they were trained to be.
    assert np.abs(expected["gap"][:, 0] - two.columns["difference"]).mean() < 0.3
    assert np.mean(expected["side"].argmax(axis=1) == two.columns["bigger"]) > 0.85
    swapped = Kind(**{**vars(two), "columns": {**two.columns, "small": two.columns["large"]}})
    assert np.abs(swapped.by_keras(base)["gap"] - expected["gap"]).mean() > 1


def test_int8_inputs_have_scales_of_their_own(two: Kind) -> None:
    from ai_edge_litert.interpreter import Interpreter

    file = model_files.tflite_file(two.converted("none-file", two.uri, quantization="int8", io="int8"))
    details = Interpreter(file).get_signature_runner("serving_default").get_input_details()
    assert details["large"]["quantization"][0] == pytest.approx(10 / 255, rel=0.05)
    assert details["small"]["quantization"][0] == pytest.approx(1 / 255, rel=0.05)


def test_each_output_is_judged_by_its_own_metric(two: Kind) -> None:
    candidate = two.converted("none-file", two.uri, quantization="int8", io="int8")
    verdict = two.judged(
        candidate,
        [
            {"output": "gap", "metric": "MeanAbsoluteError", "max": 1e-6},
            {"output": "side", "metric": "SparseCategoricalAccuracy", "min": 0.5},
        ],
    )
    outputs = two.predicted(candidate)
    error = np.abs(outputs["gap"][:, 0] - two.columns["difference"]).mean()
    right = np.mean(outputs["side"].argmax(axis=1) == two.columns["bigger"])
    gap, side = verdict.measured.accuracies
    assert (gap.output, gap.candidate) == ("gap", pytest.approx(error, rel=1e-4))
    assert (side.output, side.candidate) == ("side", pytest.approx(right, abs=1e-6))
    assert verdict.measured.accuracy == gap
    (missed,) = verdict.missed
    assert (missed.metric, missed.output, missed.key) == (
        "MeanAbsoluteError", "gap", "gate.accuracy.0.max"
    )  # fmt: skip
    (reason,) = verdict.reasons
    assert reason.startswith("MeanAbsoluteError of gap 0.") and reason.endswith("is above 1e-06")


def test_distillation_of_several_outputs_is_refused(two: Kind) -> None:
    model = two.definition.build()
    with pytest.raises(DistillationError, match="has 2 outputs; `distill` takes one"):
        refuse_mismatch(model, two.definition.build(), DistillOptions(), model)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ({"side": "bigger"}, "output 'gap' of the model has no label; write data.label as output: feature"),
        (
            {"side": "bigger", "gap": "difference", "width": "large"},
            r"no output 'width'; its outputs are \['side', 'gap'\]",
        ),
    ],
)
def test_labels_of_other_outputs_are_refused(two: Kind, label: dict[str, str], message: str) -> None:
    data = Examples(**{**vars(two.examples), "label": label})
    with pytest.raises(ExamplesError, match=message):
        train_baseline(data, str(two.folder / "x"), str(two.folder / "x"), two.definition, TRAINING, seed=3)


def test_labels_that_do_not_fit_an_output_are_refused_before_keras_broadcasts_them(two: Kind) -> None:
    model = two.definition.build()
    features = {"small": two.columns["small"], "large": two.columns["large"]}
    labels = {"side": two.columns["bigger"], "gap": two.columns["small"]}
    with pytest.raises(ExamplesError, match=r"'small' has 4 values in an example, and output 'gap' has 1"):
        refuse_misfit(model, Arrays(features, labels), {"side": "bigger", "gap": "small"})
    labels = {"side": two.columns["small"], "gap": two.columns["difference"]}
    with pytest.raises(
        ExamplesError, match=r"takes one value, the index of a class, with sparse_categorical"
    ):
        refuse_misfit(model, Arrays(features, labels), {"side": "small", "gap": "difference"})


def test_what_an_output_is_comes_from_loss_and_last_layer(two: Kind) -> None:
    assert [(k.name, k.shape, k.task, k.end) for k in kinds(two.definition.build())] == [
        ("side", (2,), "multiclass", "softmax"),
        ("gap", (1,), "regression", "linear"),
    ]
    (value,) = kinds(ModelDefinition(MODULE, {"kind": "regression"}).build())
    assert value.is_regression
    assert "counts classes" in str(value.metric_misfit("SparseCategoricalAccuracy", 1))
    assert value.metric_misfit("MeanSquaredError", 1) is None
    side, _ = kinds(two.definition.build())
    assert "value by value" in str(side.metric_misfit("MeanSquaredError", 1))
    assert "takes the index of a class" in str(side.metric_misfit("SparseCategoricalAccuracy", 2))
    assert side.metric_misfit("SparseCategoricalAccuracy", 1) is None
    assert side.metric_misfit("AUC", 1) is None
