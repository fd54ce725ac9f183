"""Mixed precision is for training alone: what is written is float32, with the weights that were trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from components.common.base import progress
from components.common.data.examples import Examples
from components.common.models import compilation, model_files, precision
from components.common.models.model_definition import ModelDefinition
from components.common.models.precision import PrecisionError
from components.common.training import history, learning_rate
from components.pruner.executor import prune
from components.pruner.params import PruneOptions
from components.quantization_aware_trainer.executor import train_quantization_aware
from components.quantization_aware_trainer.params import QatOptions
from components.trainer.params import TrainOptions
from components.trainer.run_fn import train_baseline
from tests.components.common.training import distributed_problem as problem
from tests.components.conftest import make_job, run_step
from tests.conftest import to_example, write_examples

layers = tf_keras.layers


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    rows = [
        to_example({"x": x, "label": label})
        for x, label in zip(*(problem.arrays(96).features["x"], problem.arrays(96).labels), strict=True)
    ]
    folder = write_examples(tmp_path_factory.mktemp("data"), problem.SCHEMA, train=rows, eval=rows[:40])
    return Examples(f"{folder}/examples", f"{folder}/schema", None, "label")


def train(examples: Examples, output: Path, asked: str) -> history.History:
    options = TrainOptions(precision=asked, epochs=4, batch_size=16)
    return train_baseline(
        examples, str(output), str(output / "logs"), ModelDefinition(problem.MODULE), options, 1
    )


@pytest.fixture(scope="module")
def mixed(examples: Examples, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A baseline whose layers computed in float16, as they would on a GPU; and what was trained."""
    output = tmp_path_factory.mktemp("mixed")
    seen: dict[str, Any] = {}
    whole = precision.in_float32

    def watched(model: tf_keras.Model, custom_objects: Any) -> tf_keras.Model:
        seen.update(
            compute={layer.compute_dtype for layer in model.layers if layer.weights},
            optimizer=type(model.optimizer),
            weights=model.get_weights(),
        )
        return whole(model, custom_objects)

    with pytest.MonkeyPatch.context() as patch:
        # That there is no GPU is all that is not as it would be.
        patch.setattr(precision, "usable", lambda asked: asked)
        patch.setattr(precision, "in_float32", watched)
        history = train(examples, output, "mixed_float16")
    return {**seen, "uri": str(output), "history": history}


def test_layers_compute_in_float16_and_the_loss_is_scaled(mixed: dict[str, Any]) -> None:
    assert mixed["compute"] == {"float16"}
    assert issubclass(mixed["optimizer"], tf_keras.mixed_precision.LossScaleOptimizer)
    assert mixed["history"]["loss"][-1] < 0.7 * mixed["history"]["loss"][0]
    assert tf_keras.mixed_precision.global_policy().name == "float32"


def test_what_is_written_is_float32_with_the_trained_weights(
    mixed: dict[str, Any], examples: Examples
) -> None:
    model = model_files.load(mixed["uri"])
    points = problem.arrays(20, 4).features["x"]
    hidden, hidden_bias, classes, classes_bias = [w.astype(np.float64) for w in mixed["weights"]]
    values = np.maximum(points @ hidden + hidden_bias, 0) @ classes + classes_bias
    expected = np.exp(values) / np.exp(values).sum(axis=1, keepdims=True)
    signature = tf.saved_model.load(model_files.serving_dir(mixed["uri"])).signatures["serving_default"]
    outputs = signature(x=tf.constant(points))["classes"]

    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    assert outputs.dtype == tf.float32
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
    with h5py.File(Path(mixed["uri"]) / "Format-Keras" / "model.h5") as file:
        assert "float16" not in str(file.attrs["model_config"])
    facts = json.loads((Path(mixed["uri"]) / "training.json").read_text(encoding="utf-8"))
    assert (facts["precision"], facts["precision_asked"]) == ("mixed_float16", "mixed_float16")


@pytest.mark.parametrize(
    ("work", "options"),
    [
        (prune, PruneOptions(sparsity=0.5, epochs=2, batch_size=16)),
        (train_quantization_aware, QatOptions(batch_size=16)),
    ],
    ids=["prune", "qat"],
)
def test_steps_take_it(
    work: Any, options: Any, mixed: dict[str, Any], examples: Examples, tmp_path: Path
) -> None:
    job = make_job(mixed["uri"], tmp_path, options, examples, definition=ModelDefinition(problem.MODULE))
    facts = run_step(work, job)

    assert np.isfinite(facts["final_val_loss"])
    for weight in model_files.load(str(tmp_path)).weights:
        assert weight.dtype in (tf.float32, tf.int32)


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="there is a GPU")
def test_without_gpu_it_is_left_and_said_so(examples: Examples, tmp_path: Path) -> None:
    reports: list[progress.Report] = []
    with progress.listening(reports.append):
        mixed = train(examples, tmp_path / "asked", "mixed_float16")
    plain = train(examples, tmp_path / "plain", "float32")
    facts = json.loads((tmp_path / "asked" / "training.json").read_text(encoding="utf-8"))

    assert reports[0] == progress.Report(
        "precision mixed_float16 needs a GPU, and there is none: training in float32", progress.Kind.NOTE
    )
    assert mixed == plain
    assert (facts["precision"], facts["precision_asked"]) == ("float32", "mixed_float16")
    assert precision.usable("mixed_bfloat16") == "float32"
    assert precision.note("mixed_bfloat16", "float32") == (
        "precision mixed_bfloat16 needs a GPU or TPU, and there is none: training in float32"
    )


def test_models_inside_the_model_become_float32_too() -> None:
    with precision.policy("mixed_float16"):
        inner = tf_keras.Sequential([layers.Input((4,)), layers.Dense(3, name="deep")], name="inner")
        inputs = layers.Input((4,), name="x")
        model = tf_keras.Model(inputs, layers.Dense(2, dtype="float32")(inner(inputs)))
    plain = precision.in_float32(model, {})
    points = np.linspace(-1, 1, 20).reshape(5, 4)
    (kernel, bias), (last, last_bias) = inner.get_weights(), model.layers[-1].get_weights()

    assert inner.get_layer("deep").compute_dtype == "float16"
    assert plain.get_layer("inner").get_layer("deep").compute_dtype == "float32"
    np.testing.assert_allclose(
        plain(points), (points @ kernel + bias) @ last + last_bias, rtol=1e-5, atol=1e-6
    )


def test_a_layer_that_is_float16_by_itself_is_refused() -> None:
    model = tf_keras.Sequential([layers.Input((4,)), layers.Dense(3, dtype="float16", name="half")])

    with pytest.raises(PrecisionError, match="layer half computes in float16 by itself"):
        precision.in_float32(model, {})


def test_a_scaled_loss_goes_with_schedules_and_written_learning_rates() -> None:
    with precision.policy("mixed_float16"):
        model, other = problem.regression(), problem.regression()
    compilation.compile_like(other, model, 0.5)
    other.fit(problem.arrays(8).features["x"], problem.arrays(8).labels, verbose=0)

    assert isinstance(other.optimizer, tf_keras.mixed_precision.LossScaleOptimizer)
    assert float(other.optimizer.learning_rate) == 0.5
    assert learning_rate.next_learning_rate(other.optimizer) == 0.5
