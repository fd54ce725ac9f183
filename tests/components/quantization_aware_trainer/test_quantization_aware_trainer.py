"""Quantization-aware training: what was achieved stays, files reload, what is refused leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from components.common.models import model_files
from components.common.models.model_definition import ModelDefinition
from components.common.models.model_files import StepRecord
from components.common.tflite.litert import LiteRTModel
from components.fine_tuner.executor import fine_tune
from components.fine_tuner.params import FineTuneOptions
from components.quantization_aware_trainer.executor import (
    QuantizationError,
    after,
    prepare,
    quantize,
    train_quantization_aware,
    with_one_scale,
)
from components.quantization_aware_trainer.params import QatOptions
from tests.components.conftest import (
    KERNEL_SHAPES,
    MakeModule,
    Step,
    make_job,
    run_step,
    stored_kernels,
)
from tests.components.quantization_aware_trainer.stacks import (
    layer_of,
)
from tests.conftest import Digits, Trained

layers = tf_keras.layers


def kernel(model: tf_keras.Model, name: str) -> np.ndarray:
    return next(w for w in layer_of(model, name).weights if w.name.endswith("kernel:0")).numpy()


def images_of(digits: Digits, count: int) -> np.ndarray:
    return digits.images[:count].reshape(-1, 28, 28, 1).astype(np.float32)


def test_zeros_of_a_pruned_model_stay_where_they_are(pruned: Step, pruned_quantization_aware: Step) -> None:
    before = model_files.load(pruned.uri)
    after = model_files.load(pruned_quantization_aware.uri)

    moved = 0
    for name in KERNEL_SHAPES:
        was, now = kernel(before, name), kernel(after, name)
        np.testing.assert_array_equal(was == 0, now == 0)
        moved += int(np.sum(was != now))
    assert moved > 900  # of about 1,300 that are not zero
    facts = pruned_quantization_aware.facts
    assert facts["technique"] == "prune-qat"
    assert facts["least_layer_sparsity"] == min(np.mean(kernel(after, n) == 0) for n in KERNEL_SHAPES)
    before_it = StepRecord.read(pruned.uri)
    assert StepRecord.read(pruned_quantization_aware.uri).layers == before_it.layers


@pytest.mark.parametrize("base", ["clustered", "pruned_clustered"])
def test_weights_that_share_a_value_go_on_sharing_one(base: str, request: pytest.FixtureRequest) -> None:
    before = model_files.load(request.getfixturevalue(base).uri)
    step = request.getfixturevalue(f"{base}_quantization_aware")
    after = model_files.load(step.uri)

    for name in KERNEL_SHAPES:
        was, now = kernel(before, name), kernel(after, name)
        pairs = np.unique(np.stack([was.ravel(), now.ravel()]), axis=1).shape[1]
        assert pairs == len(np.unique(was)) == len(np.unique(now)) <= 16
        assert np.mean((was != now) | (was == 0)) > 0.9  # the values themselves were trained
        np.testing.assert_array_equal(was == 0, now == 0)
    assert step.facts["most_layer_clusters"] <= 16


def test_and_so_they_do_when_it_is_fine_tuned(
    pruned_clustered_quantization_aware: Step,
    mnist_examples: Any,
    converted: Callable[..., Step],
    tmp_path: Path,
) -> None:
    uri = pruned_clustered_quantization_aware.uri
    options = FineTuneOptions(steps=5, batch_size=50, learning_rate=0.001)
    run_step(fine_tune, make_job(uri, tmp_path, options, mnist_examples))
    before, after = model_files.load(uri), model_files.load(str(tmp_path))

    for name in KERNEL_SHAPES:
        was, now = kernel(before, name), kernel(after, name)
        np.testing.assert_array_equal(was == 0, now == 0)
        assert len(np.unique(now)) == len(np.unique(was))
        assert np.any(was != now)
    for name, stored in stored_kernels(converted(str(tmp_path), "int8").uri).items():
        assert stored.dtype == np.int8
        assert len(np.unique(stored)) <= 16, name


def test_a_dense_model_is_trained_on_for_int8(
    trained: Trained, quantization_aware: Step, mnist_arrays: dict[str, Digits]
) -> None:
    model = model_files.load(quantization_aware.uri)
    digits = mnist_arrays["eval"]
    outputs = model(images_of(digits, len(digits.labels)), training=False).numpy()

    assert [layer.name for layer in model.layers if "conv" in layer.name and "bn" not in layer.name] == [
        "quant_conv1", "quant_conv1_relu", "quant_conv2", "quant_conv2_relu",
    ]  # fmt: skip
    accuracy = np.mean(np.argmax(outputs, axis=1) == digits.labels)
    assert accuracy == pytest.approx(quantization_aware.facts["final_val_accuracy"], abs=0.0051)
    assert accuracy > trained.history["val_accuracy"][-1] - 0.05
    assert "least_layer_sparsity" not in quantization_aware.facts
    ranges = {w.name.split(":")[0]: w.numpy() for w in model.get_layer("quant_dense").weights}
    largest = np.abs(kernel(model, "dense")).max()
    assert ranges["quant_dense/kernel_max"] == pytest.approx(largest, rel=0.05)
    assert ranges["quant_dense/post_activation_max"] != 6  # where it begins


CHAINS = ["quantization_aware", "pruned_clustered_quantization_aware"]


@pytest.mark.parametrize("base", CHAINS)
def test_both_files_hold_the_same_model(
    base: str, request: pytest.FixtureRequest, mnist_arrays: dict[str, Digits]
) -> None:
    uri = request.getfixturevalue(base).uri
    images = images_of(mnist_arrays["eval"], 50)
    signature = tf.saved_model.load(model_files.serving_dir(uri)).signatures["serving_default"]

    served = next(iter(signature(image=tf.constant(images)).values())).numpy()
    np.testing.assert_allclose(served, model_files.load(uri)(images, training=False), atol=1e-6)


@pytest.mark.parametrize("base", CHAINS)
def test_the_file_predicts_as_the_model_did(
    base: str,
    request: pytest.FixtureRequest,
    converted: Callable[..., Step],
    mnist_arrays: dict[str, Digits],
) -> None:
    uri = request.getfixturevalue(base).uri
    images = images_of(mnist_arrays["eval"], 100)
    file = LiteRTModel(model_files.tflite_file(converted(uri, "int8").uri))
    answers = np.array([file.predict({"image": image})["probabilities"] for image in images])

    expected = model_files.load(uri)(images, training=False).numpy()
    # One step of int8 probabilities is 1/256.
    assert np.mean(np.abs(answers - expected) <= 1.01 / 256) > 0.98
    assert np.mean(answers.argmax(axis=1) == expected.argmax(axis=1)) >= 0.98


@pytest.mark.parametrize(
    ("base", "exclude"), [("trained", []), ("trained", ["conv1*", "probabilities"]), ("clustered", [])]
)
def test_a_model_reloads_exactly(
    base: str,
    exclude: list[str],
    request: pytest.FixtureRequest,
    mnist_arrays: dict[str, Digits],
    tmp_path: Path,
) -> None:
    images = images_of(mnist_arrays["eval"], 20)
    uri = request.getfixturevalue(base).uri
    one_scale = with_one_scale(StepRecord.read(uri))
    assert sorted(one_scale) == (sorted(KERNEL_SHAPES) if base == "clustered" else [])
    model = quantize(prepare(model_files.load(uri), exclude), exclude, one_scale)
    model(images, training=True)  # ranges are weights too
    model_files.save(model, str(tmp_path), ["image"], after(StepRecord(), QatOptions()))

    loaded = model_files.load(str(tmp_path))
    np.testing.assert_array_equal(loaded(images, training=False), model(images, training=False))
    # And trains on as it was: fake quantization is still there.
    kinds = [type(getattr(layer, "quantize_config", None)).__name__ for layer in model.layers]
    assert [type(getattr(n, "quantize_config", None)).__name__ for n in loaded.layers] == kinds
    ranges = [w.name for w in loaded.weights if "kernel_m" in w.name]
    assert ranges == [w.name for w in model.weights if "kernel_m" in w.name]


CUSTOM = """
import tf_keras
class Doubled(tf_keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs
def build_model(hparams):
    x = tf_keras.layers.Input((784,), name="image")
    y = Doubled(name="doubled")(x)
    model = tf_keras.Model(x, tf_keras.layers.Dense(10, name="p")(y))
    model.compile("sgd", "mse")
    return model
"""


def test_a_layer_of_the_users_own_can_be_excluded(
    make_module: MakeModule, mnist_examples: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.common.models import stock_layers

    module = make_module(CUSTOM)
    # AutoGraph would take 20 s here.
    monkeypatch.setattr(stock_layers, "_STOCK", (*stock_layers._STOCK, module))
    options = QatOptions(exclude=["doubled"], steps=2, batch_size=50, learning_rate=1e-9)
    job = make_job(
        tmp_path / "base", tmp_path / "out", options, mnist_examples, definition=ModelDefinition(module)
    )
    model_files.save(job.reference_model(), job.base_model, ["image"], StepRecord())
    run_step(train_quantization_aware, job)

    assert StepRecord.read(job.output).float_layers == ["doubled"]


def test_a_step_that_is_refused_leaves_nothing_behind(
    make_module: MakeModule, mnist_examples: Any, tmp_path: Path
) -> None:
    module = make_module(
        """
        import tf_keras
        def build_model(hparams):
            x = tf_keras.layers.Input((784,), name="image")
            y = tf_keras.layers.Dense(10)(tf_keras.layers.Rescaling(1 / 255, name="scaled")(x))
            model = tf_keras.Model(x, y)
            model.compile("sgd", "mse")
            return model
        """
    )
    base, output = tmp_path / "base", tmp_path / "out"
    output.mkdir()
    job = make_job(base, output, QatOptions(), mnist_examples, definition=ModelDefinition(module))
    model_files.save(job.reference_model(), str(base), ["image"], StepRecord())

    with pytest.raises(QuantizationError, match="scaled"):
        train_quantization_aware(job)
    assert list(output.iterdir()) == []
