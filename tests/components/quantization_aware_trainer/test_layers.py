"""Layer by layer: what becomes int8, what stays in float, and what TFMOT cannot do is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from components.common.models import layer_weights
from components.common.models.layer_selection import LayerSelectionError
from components.common.tfmot.in_float import InFloat
from components.quantization_aware_trainer.executor import (
    QuantizationError,
    prepare,
    quantize,
)
from tests.components.quantization_aware_trainer.stacks import (
    FEATURES,
    calibrated,
    dtypes,
    int8_file,
    layer_of,
    norm,
    output_step,
    stack,
    stirred,
)

layers = tf_keras.layers


FORMS: dict[str, Callable[[], list[Any]]] = {
    "conv, ReLU": lambda: [layers.Conv2D(4, 3, name="c"), layers.ReLU(name="r")],
    "conv, ReLU6": lambda: [layers.Conv2D(4, 3, name="c"), layers.ReLU(6.0, name="r")],
    "conv with relu": lambda: [layers.Conv2D(4, 3, activation="relu", name="c")],
    "conv, BatchNormalization, ReLU": lambda: [
        layers.Conv2D(4, 3, use_bias=False, name="c"), norm(), layers.ReLU(name="r"),
    ],
    "depthwise, BatchNormalization, ReLU6": lambda: [
        layers.DepthwiseConv2D(3, name="c"), norm(), layers.ReLU(6.0, name="r"),
    ],
    "depthwise, two for each channel": lambda: [
        layers.DepthwiseConv2D(3, depth_multiplier=2, name="c"), layers.ReLU(name="r"),
    ],
    "Dense, BatchNormalization, ReLU": lambda: [
        layers.Flatten(), layers.Dense(6, name="c"), norm(), layers.ReLU(name="r"),
    ],
    "transposed, BatchNormalization": lambda: [layers.Conv2DTranspose(4, 3, name="c"), norm()],
    "separable": lambda: [layers.SeparableConv2D(4, 3, name="c")],
    "separable with relu": lambda: [layers.SeparableConv2D(4, 3, activation="relu", name="c")],
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_all_of_a_model_is_int8_and_the_file_computes_what_was_trained(form: str, tmp_path: Path) -> None:
    tf_keras.utils.set_random_seed(2)
    model = stirred(stack(*FORMS[form]()))
    model._name = "net"
    before = model(FEATURES, training=False).numpy()
    prepared = prepare(model)
    np.testing.assert_allclose(prepared(FEATURES, training=False), before, rtol=1e-4, atol=1e-5)
    quantized = calibrated(quantize(prepared))
    file, outputs = int8_file(quantized, tmp_path)

    assert dtypes(file)["c"] == dtypes(file)["d"] == "int8"
    assert set(dtypes(file).values()) == {"int8"}
    assert file.activation_dtypes["float32"] == 2  # input and output
    expected = quantized(FEATURES, training=False).numpy()
    # Nothing in the file is quantized that was not while it was trained: what is left is the rounding of a
    # few outputs that lie between two steps.
    difference = np.abs(outputs - expected) / output_step(quantized)
    assert difference.max() <= 1.01
    assert np.mean(difference > 0.01) < 0.1


@pytest.mark.parametrize(
    ("form", "config"),
    [
        ("conv, ReLU", "KernelQuantizeConfig"),  # TFMOT by itself leaves the kernel in float
        ("depthwise, two for each channel", "KernelQuantizeConfig"),
        ("conv, BatchNormalization, ReLU", "Default8BitConvQuantizeConfig"),
    ],
)
def test_a_kernel_before_a_relu_of_its_own_is_fake_quantized(form: str, config: str) -> None:
    tf_keras.utils.set_random_seed(2)
    model = calibrated(quantize(stack(*FORMS[form]())))
    layer = model.get_layer("quant_c")
    assert type(layer.quantize_config).__name__ == config
    ((_, quantizer),) = layer.quantize_config.get_weights_and_quantizers(layer.layer)
    assert type(quantizer).__name__ == "Default8BitConvWeightsQuantizer"

    weights = layer_weights.kernel_of(layer)
    values = weights.numpy()
    biggest = np.abs(values).reshape(-1, values.shape[-1]).max(axis=0)
    before = model(FEATURES, training=False).numpy()
    # A weight on the grid of its channel may move by less than half a step and gives the same output.
    channel = 0
    grid = biggest[channel] / 127
    on_grid = values.copy()
    on_grid[..., channel] = np.round(values[..., channel] / grid) * grid
    for share, same in ((0.0, True), (0.45, True), (0.55, False)):
        moved = on_grid.copy()
        (index, *_) = np.argwhere(np.abs(on_grid[..., channel]) < 0.5 * biggest[channel])
        moved[(*index, channel)] += share * grid
        weights.assign(moved)
        after = model(FEATURES, training=False).numpy()
        assert np.array_equal(after, before) is same, share


def test_one_scale_for_the_whole_kernel(tmp_path: Path) -> None:
    parts = [
        layers.Conv2D(4, 3, name="a"), layers.ReLU(), layers.Conv2D(5, 3, name="b"),
        layers.Conv2DTranspose(3, 3, name="c"), layers.Conv2D(2, 1, name="e"),
    ]  # fmt: skip
    tf_keras.utils.set_random_seed(2)
    quantized = calibrated(quantize(stack(*parts), one_scale=["a", "b", "c"]))
    file, outputs = int8_file(quantized, tmp_path)

    assert {kernel.layer: kernel.scales.size for kernel in file.kernels} == {
        "a": 1, "b": 1, "c": 1, "e": 2, "d": 1,
    }  # fmt: skip
    expected = quantized(FEATURES, training=False).numpy()
    assert np.abs(outputs - expected).max() <= 1.01 * output_step(quantized)


EXCLUDED: dict[str, tuple[list[str], dict[str, str]]] = {
    "the last layer": (["d"], {"c": "int8", "e": "int8", "d": "float32"}),
    "the first block, by a pattern": (["[cbr]*"], {"c": "float32", "e": "int8", "d": "int8"}),
    # The normalization goes with its convolution, into which it is folded.
    "the first convolution": (["c"], {"c": "float32", "e": "int8", "d": "int8"}),
    "between two others": (["e"], {"c": "int8", "e": "float32", "d": "int8"}),
    "a normalization": (["bn"], {"c": "int8", "e": "int8", "d": "int8"}),
}


@pytest.mark.parametrize("case", EXCLUDED)
def test_what_is_excluded_stays_in_float(case: str, tmp_path: Path) -> None:
    exclude, expected = EXCLUDED[case]
    tf_keras.utils.set_random_seed(2)
    parts = [layers.Conv2D(4, 3, name="c"), norm(), layers.ReLU(name="r"), layers.Conv2D(4, 1, name="e")]
    model = stirred(stack(*parts))
    quantized = calibrated(quantize(prepare(model, exclude), exclude))
    file, outputs = int8_file(quantized, tmp_path)

    assert dtypes(file) == expected
    predicted = quantized(FEATURES, training=False).numpy()
    # A last bit between the layers may be some steps at the end.
    assert np.abs(outputs - predicted).max() <= 4.01 * np.ptp(predicted) / 255


def test_a_normalization_after_dense_can_be_excluded() -> None:
    model = stack(layers.Flatten(), layers.Dense(4, name="e"), norm(), shape=(4,))

    assert [n.name for n in prepare(model).layers if "bn" in n.name] == []
    quantized = quantize(prepare(model, ["bn"]), ["bn"])
    assert quantized.get_layer("bn") and quantized.get_layer("quant_e")


def test_an_excluded_separable_convolution_is_not_split() -> None:
    model = stack(layers.SeparableConv2D(4, 3, name="s"), layers.Conv2D(2, 1, name="c"))

    assert prepare(model, ["s"]) is model
    quantized = quantize(prepare(model, ["s"]), ["s"])
    in_float = layer_of(quantized, "s").layer  # its output is quantized, for what reads it
    assert type(in_float) is InFloat
    assert type(in_float.layer) is layers.SeparableConv2D


@pytest.mark.parametrize(
    ("exclude", "message"),
    [
        (["nothing"], "pattern 'nothing' matches no layer; those are ['c', 'flatten', 'd']"),
        (["*"], "exclude ['*'] leaves no layer to quantize"),
    ],
)
def test_patterns_that_make_no_sense_are_refused(exclude: list[str], message: str) -> None:
    parts = [layers.Conv2D(2, 1, name="c"), layers.Flatten(name="flatten"), layers.Dense(2, name="d")]
    with pytest.raises(LayerSelectionError) as raised:
        quantize(tf_keras.Sequential([layers.Input((4, 4, 1)), *parts]), exclude)
    assert str(raised.value) == message


class Unknown(layers.Layer):
    """A layer that nothing knows."""


def raw_operation() -> tf_keras.Model:
    x = layers.Input((4,))
    return tf_keras.Model(x, layers.Dense(2)(x / 2.0))


@pytest.mark.parametrize(
    ("model", "named"),
    [
        pytest.param(lambda: stack(layers.Rescaling(1 / 255, name="scaled")), "scaled", id="rescaling"),
        pytest.param(lambda: stack(layers.LSTM(3, name="l"), shape=(5, 2)), "Layer l:", id="lstm"),
        pytest.param(lambda: stack(layers.LayerNormalization(name="norm")), "norm", id="layernorm"),
        pytest.param(
            lambda: stack(layers.Conv2D(2, 3, activation="relu"), layers.BatchNormalization(name="bn")),
            "Layer bn:", id="batchnorm-after-an-activation",
        ),
        pytest.param(lambda: stack(stack(shape=(8, 8, 3))), "is a model inside the model", id="model-in-model"),
        pytest.param(lambda: stack(Unknown()), "Unknown", id="custom-layer"),
        pytest.param(raw_operation, "truediv", id="raw-operation"),
        pytest.param(
            lambda: stack(layers.Conv2D(2, 3, activation="relu6", name="six")),
            "six has activation relu6",
            id="relu6-inside",
        ),
        pytest.param(
            lambda: stack(layers.Conv2D(2, 3, activation="elu", name="e")), "e has activation elu", id="elu-inside"
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_quantized_is_named(model: Callable[[], tf_keras.Model], named: str) -> None:
    with pytest.raises(QuantizationError) as raised:
        quantize(prepare(model()))

    message = str(raised.value)
    assert message.startswith("the model cannot be made quantization-aware: ")
    assert named in message
    assert message.endswith("Leave `qat` out of this candidate: post-training int8 needs no such support")
    assert "\n" not in message and ".." not in message


def test_a_subclassed_model_is_refused() -> None:
    class Mine(tf_keras.Model):
        def call(self, inputs: tf.Tensor) -> tf.Tensor:
            return inputs

    with pytest.raises(QuantizationError) as raised:
        prepare(Mine(name="mine"))
    assert str(raised.value) == (
        "mine is a subclassed model, in which TFMOT sees no layers: build it with the functional API or "
        "Sequential"
    )
