"""Quantization-aware training: zeros stay, files reload, and what TFMOT cannot do is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from components.common import fine_tuning, model_files
from components.common.examples import Arrays
from components.common.model_files import StepRecord
from components.quantization_aware_trainer.executor import (
    QuantizationError,
    quantize,
    train_quantization_aware,
)
from components.quantization_aware_trainer.params import QatOptions
from tests.components.conftest import MakeModule, Step, make_job
from tests.conftest import Digits, Trained

LAYERS = ["conv1", "conv2", "dense", "probabilities"]
layers = tf_keras.layers


def kernel(model: tf_keras.Model, name: str) -> np.ndarray:
    (layer,) = [layer for layer in model.layers if layer.name in (name, f"quant_{name}")]
    return next(w for w in layer.weights if w.name.endswith("kernel:0")).numpy()


def test_zeros_of_a_pruned_model_stay_where_they_are(pruned: Step, pruned_quantization_aware: Step) -> None:
    before = model_files.load(pruned.uri)
    after = model_files.load(pruned_quantization_aware.uri)

    moved = 0
    for name in LAYERS:
        was, now = kernel(before, name), kernel(after, name)
        np.testing.assert_array_equal(was == 0, now == 0)
        moved += int(np.sum(was != now))
    assert moved > 1000  # the others were trained
    facts = pruned_quantization_aware.facts
    assert facts["technique"] == "prune-qat"
    assert facts["least_layer_sparsity"] == min(np.mean(kernel(after, n) == 0) for n in LAYERS)
    before_it = StepRecord.read(pruned.uri)
    assert StepRecord.read(pruned_quantization_aware.uri).sparsity == before_it.sparsity


def test_a_dense_model_is_trained_on_for_int8(
    trained: Trained, quantization_aware: Step, mnist_arrays: dict[str, Digits]
) -> None:
    model = model_files.load(quantization_aware.uri)
    digits = mnist_arrays["eval"]
    outputs = model(digits.images.reshape(-1, 28, 28, 1).astype(np.float32), training=False).numpy()

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


@pytest.mark.parametrize("base", ["quantization_aware", "pruned_quantization_aware"])
def test_both_files_hold_the_same_model(
    base: str, request: pytest.FixtureRequest, mnist_arrays: dict[str, Digits]
) -> None:
    uri = request.getfixturevalue(base).uri
    images = mnist_arrays["eval"].images[:50].reshape(-1, 28, 28, 1).astype(np.float32)
    signature = tf.saved_model.load(model_files.serving_dir(uri)).signatures["serving_default"]

    served = next(iter(signature(image=tf.constant(images)).values())).numpy()
    np.testing.assert_allclose(served, model_files.load(uri)(images, training=False), atol=1e-6)


@pytest.mark.parametrize("preserve_sparsity", [False, True])
def test_a_model_reloads_exactly(
    trained: Trained, mnist_arrays: dict[str, Digits], tmp_path: Path, preserve_sparsity: bool
) -> None:
    images = mnist_arrays["eval"].images[:20].reshape(-1, 28, 28, 1).astype(np.float32)
    model = quantize(model_files.load(trained.uri), preserve_sparsity)
    model(images, training=True)  # ranges are weights too
    model_files.save(model, str(tmp_path), ["image"], StepRecord().after("qat", {}))

    np.testing.assert_array_equal(
        model_files.load(str(tmp_path))(images, training=False), model(images, training=False)
    )


def stack(*parts: Any, shape: tuple[int, ...] = (8, 8, 3)) -> tf_keras.Model:
    return tf_keras.Sequential([layers.Input(shape), *parts, layers.Flatten(), layers.Dense(3, name="d")])


class Unknown(layers.Layer):
    """A layer that nothing knows."""


def raw_operation() -> tf_keras.Model:
    x = layers.Input((4,))
    return tf_keras.Model(x, layers.Dense(2)(x / 2.0))


@pytest.mark.parametrize(
    ("model", "named"),
    [
        pytest.param(lambda: stack(layers.Conv1D(4, 3, name="c1"), shape=(8, 3)), "c1", id="conv1d"),
        pytest.param(lambda: stack(layers.Rescaling(1 / 255, name="scaled")), "scaled", id="rescaling"),
        pytest.param(lambda: stack(layers.LSTM(3, name="l"), shape=(5, 2)), "Layer l:", id="lstm"),
        pytest.param(lambda: stack(layers.LayerNormalization(name="norm")), "norm", id="layernorm"),
        pytest.param(
            lambda: stack(layers.Conv2D(2, 3, activation="relu"), layers.BatchNormalization(name="bn")),
            "Layer bn:", id="batchnorm-after-an-activation",
        ),
        pytest.param(lambda: stack(stack(shape=(8, 8, 3))), "inside another", id="model-in-model"),
        pytest.param(lambda: stack(Unknown()), "Unknown", id="custom-layer"),
        pytest.param(raw_operation, "truediv", id="raw-operation"),
    ],
)  # fmt: skip
def test_what_cannot_be_quantized_is_named(model: Callable[[], tf_keras.Model], named: str) -> None:
    with pytest.raises(QuantizationError) as raised:
        quantize(model(), preserve_sparsity=False)

    message = str(raised.value)
    assert message.startswith("the model cannot be made quantization-aware: ")
    assert named in message
    assert message.endswith("Leave `qat` out of this candidate: post-training int8 needs no such support")
    assert "\n" not in message and ".." not in message


def test_a_subclassed_model_is_refused() -> None:
    class Mine(tf_keras.Model):
        def call(self, inputs: tf.Tensor) -> tf.Tensor:
            return inputs

    with pytest.raises(QuantizationError, match="cannot be made quantization-aware"):
        quantize(Mine(), preserve_sparsity=False)


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
    job = make_job(base, output, QatOptions(), mnist_examples, model_module=module, hparams={})
    model_files.save(job.reference_model(), str(base), ["image"], StepRecord())

    with pytest.raises(QuantizationError, match="scaled"):
        train_quantization_aware(job)
    assert list(output.iterdir()) == []


def test_keep_zeros_undoes_what_the_optimizer_does_to_them() -> None:
    model = tf_keras.Sequential(
        [layers.Input((6,), name="x"), layers.Dense(4, name="kept"), layers.Dense(1, name="free")]
    )
    weights = model.get_layer("kept").get_weights()
    weights[0][:3] = 0
    model.get_layer("kept").set_weights(weights)
    free = model.get_layer("free").get_weights()
    free[0][:2] = 0
    model.get_layer("free").set_weights(free)
    model.compile(tf_keras.optimizers.Adam(0.1), "mse", run_eagerly=True)
    arrays = Arrays({"x": np.random.default_rng(0).normal(size=(32, 6))}, np.ones(32))
    keep = fine_tuning.KeepZeros(["kept"])
    model.fit(arrays.features["x"], arrays.labels, 8, epochs=2, verbose=0, callbacks=[keep])

    after = model.get_layer("kept").get_weights()[0]
    assert np.all(after[:3] == 0)
    assert np.all(after[3:] != weights[0][3:])
    assert np.all(model.get_layer("free").get_weights()[0] != 0)
