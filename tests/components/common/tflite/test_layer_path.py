"""Which layer an operator comes from, on files of models whose names leave room for doubt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tf_keras

from components.common.models import model_files
from components.common.tflite import layer_path, tflite_file
from components.tflite_converter.executor import convert
from components.tflite_converter.params import ConvertOptions

layers = tf_keras.layers
Stack = Callable[[], list[tf_keras.layers.Layer]]


def separable() -> list[tf_keras.layers.Layer]:
    """The first is called like the function of TensorFlow that both call."""
    return [
        layers.SeparableConv2D(4, 3, padding="same", name="separable_conv2d"),
        layers.SeparableConv2D(4, 3, padding="same", activation="relu", name="separable_conv2d_1"),
    ]


def prefixed() -> list[tf_keras.layers.Layer]:
    """The model is called like its first layer, and that is how the others begin."""
    return [
        layer
        for name in ("net", "net_1", "net_1_1")
        for layer in (
            layers.Conv2D(4, 3, padding="same", name=name),
            layers.BatchNormalization(name=f"{name}_bn"),
            layers.ReLU(name=f"{name}_relu"),
        )
    ]


def inner() -> list[tf_keras.layers.Layer]:
    """Inner models with layers of the same names, and a wrapper."""
    models = [
        tf_keras.Sequential(
            [
                layers.Input((8, 8, 4)),
                layers.Conv2D(4, 3, padding="same", name="conv"),
                layers.ReLU(name="relu"),
            ],
            name=name,
        )
        for name in ("left", "right")
    ]
    return [
        layers.Conv2D(4, 3, padding="same", name="conv"),
        *models,
        layers.Reshape((8, 32), name="rows"),
        layers.TimeDistributed(layers.Dense(4, activation="relu", name="dense"), name="timed"),
    ]


def slashes() -> list[tf_keras.layers.Layer]:
    """Names as in Keras's DenseNet."""
    return [
        layers.Conv2D(4, 3, use_bias=False, name="conv1/conv"),
        layers.BatchNormalization(name="conv1/bn"),
        layers.ReLU(name="conv1/relu"),
        layers.DepthwiseConv2D(3, name="conv2/conv"),
    ]


def functions() -> list[tf_keras.layers.Layer]:
    """Layers that call functions of TensorFlow, with name scopes of their own."""
    return [
        layers.Reshape((8, 24), name="rows"),
        layers.Conv1D(5, 3, name="line"),
        layers.ReLU(name="line_relu"),
        layers.EinsumDense("abc,cd->abd", (None, 7), name="einsum"),
        layers.Dense(9, name="wide"),
    ]


def built(stack: list[tf_keras.layers.Layer]) -> tf_keras.Model:
    return tf_keras.Sequential(
        [
            layers.Input((8, 8, 3), name="x"),
            *stack,
            layers.Flatten(name="flat"),
            layers.Dense(2, name="last"),
        ],
        name="net",
    )


def read(
    model: tf_keras.Model, folder: Path, quantization: str, aware: bool = False
) -> tflite_file.TFLiteFile:
    model_files.save_serving(model, str(folder), list(model.input_names))
    return tflite_file.parse(convert(str(folder), ConvertOptions(quantization=quantization), aware, None))


@pytest.mark.parametrize(
    ("stack", "quantization", "kernels", "others"),
    [
        (separable, "float32", ["separable_conv2d"] * 2 + ["separable_conv2d_1"] * 2, set()),
        (
            prefixed,
            "dynamic",
            ["net", "net_1", "net_1_1"],
            {f"{name}_{kind}" for name in ("net", "net_1", "net_1_1") for kind in ("bn", "relu")},
        ),
        (
            inner,
            "dynamic",
            ["conv", "left/conv", "right/conv", "timed/dense"],
            {"left", "left/relu", "right", "right/relu", "rows", "timed"},
        ),
        (slashes, "float32", ["conv1/conv", "conv2/conv"], {"conv1", "conv1/bn", "conv1/relu", "conv2"}),
        (functions, "dynamic", ["line", "einsum", "wide"], {"rows", "line_relu"}),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_kernels_and_operators_have_the_names_of_their_layers(
    tmp_path: Path, stack: Stack, quantization: str, kernels: list[str], others: set[str]
) -> None:
    file = read(built(stack()), tmp_path, quantization)

    assert [kernel.layer for kernel in file.kernels] == [*kernels, "last"]
    found = set().union(*(operator.layers for operator in file.operators))
    expected = {*kernels, *others, "flat", "last"}
    # Newer converters fold BatchNormalization before they name operators.
    folded = {name for name in expected if name.endswith("bn")}
    assert found <= expected and expected - folded <= found
    for kernel in file.kernels:
        assert kernel.layer in kernel.layers
        # No kernel is taken for that of another layer.
        assert kernel.layers & set(kernels) <= {kernel.layer}


def test_layers_of_an_attention_go_by_their_paths(tmp_path: Path) -> None:
    x = layers.Input((4, 6), name="x")
    y = layers.MultiHeadAttention(2, 3, name="second")(
        *[layers.MultiHeadAttention(2, 3, name="first")(x, x)] * 2
    )
    file = read(tf_keras.Model(x, layers.Dense(2, name="last")(y), name="net"), tmp_path, "float32")

    parts = {"query", "key", "value", "attention_output"}
    wanted = {f"{name}/{part}" for name in ("first", "second") for part in parts} | {"last"}
    assert {kernel.layer for kernel in file.kernels} == wanted
    assert len(file.layer_kernels(["first"])["first"]) == 4


def test_wrappers_of_quantization_aware_training_leave_no_trace(tmp_path: Path) -> None:
    import tensorflow_model_optimization as tfmot

    model = tfmot.quantization.keras.quantize_model(built(prefixed()))
    file = read(model, tmp_path, "int8", aware=True)

    assert [kernel.layer for kernel in file.kernels] == ["net", "net_1", "net_1_1", "last"]
    # Newer converters keep the kernel's own layer only.
    assert {"net_1"} <= file.kernels[1].layers <= {"net_1", "net_1_bn", "net_1_relu"}
    assert not any(layer.startswith("quant_") for operator in file.operators for layer in operator.layers)


@pytest.mark.parametrize(
    ("tensor", "returned", "all_layers", "with_kernel"),
    [
        ("StatefulPartitionedCall:0", "logits", {"logits"}, "logits"),
        ("StatefulPartitionedCall:0", "quant_logits", {"logits"}, "logits"),
        ("net/conv/BiasAdd;Conv2D1", "", {"conv"}, "conv"),
        ("net/act/Relu;net/conv/BiasAdd;;net/conv/Conv2D", "", {"act", "conv"}, "conv"),
        ("net/act/Relu;net/line/Conv1D/Squeeze", "", {"act", "line"}, "line"),
        ("net/einsum/einsum/Einsum1", "", {"einsum"}, "einsum"),
        ("net/inner/Tensordot/BiasAdd", "", {"inner"}, "inner"),
        ("conv/Conv2D", "", {"conv"}, "conv"),
        ("net/quant_conv/conv/BiasAdd;net/quant_conv/conv/Conv2D", "", {"conv"}, "conv"),
        ("net/conv/conv/Conv2D", "", {"conv"}, "conv"),  # a layer that InFloat holds has its name
        ("MatMul", "", set(), "MatMul"),
        ("", "", set(), ""),
    ],
)
def test_names_that_the_converter_gives(
    tensor: str, returned: str, all_layers: set[str], with_kernel: str
) -> None:
    assert layer_path.layers_of([(tensor, returned)]) == all_layers
    assert layer_path.layer_with_kernel([(tensor, returned)]) == with_kernel
