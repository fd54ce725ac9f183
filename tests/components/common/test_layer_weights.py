"""Kernels of layers, in Keras and in TFLite files, and their sparsity."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras
from ai_edge_litert.interpreter import Interpreter

from components.common import layer_weights, model_files
from components.common.examples import Arrays
from components.common.model_files import StepRecord
from components.tflite_converter.executor import convert
from tests.components.conftest import Step
from tests.conftest import Trained

LAYERS = ["conv1", "conv2", "dense", "probabilities"]
FORMATS = [
    ("float32", "float32"),
    ("float16", "float32"),
    ("dynamic", "float32"),
    ("int8", "float32"),
    ("int8", "int8"),
    ("int16x8", "float32"),
]
ids = ["-".join(f) for f in FORMATS]
layers = tf_keras.layers


def tensors_by_shape(file: str, shape: tuple[int, ...]) -> list[tuple[np.ndarray, Any]]:
    """Constant tensors of a shape, with their zero points: by the interpreter, not by the flatbuffer."""
    interpreter = Interpreter(file, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    found = []
    for detail in interpreter.get_tensor_details():
        if tuple(detail["shape"]) == shape:
            try:
                values = interpreter.get_tensor(detail["index"])
            except ValueError:  # not a constant
                continue
            found.append((values, detail["quantization_parameters"]["zero_points"]))
    return found


def keras_kernels(uri: str) -> dict[str, np.ndarray]:
    """Layer → kernel as TFLite lays it out: output channels first."""
    model = model_files.load(uri)
    kernels = {}
    for layer in model.layers:
        name = layer.name.removeprefix("quant_")
        if name in LAYERS:
            kernel = next(w for w in layer.weights if w.name.endswith("kernel:0")).numpy()
            kernels[name] = np.transpose(kernel, (3, 0, 1, 2) if kernel.ndim == 4 else (1, 0))
    return kernels


def kernel_of(file: str, layer: str) -> layer_weights.Kernel:
    (kernel,) = [kernel for kernel in layer_weights.kernels(file) if layer in kernel.layers]
    return kernel


@pytest.mark.parametrize(("quantization", "io"), FORMATS, ids=ids)
def test_every_kernel_is_found_by_its_layers_name(
    trained: Trained, converted: Callable[..., Step], quantization: str, io: str
) -> None:
    file = model_files.tflite_file(converted(trained.uri, quantization, io).uri)
    expected = keras_kernels(trained.uri)

    assert len(layer_weights.kernels(file)) == len(LAYERS)
    for layer in LAYERS:
        kernel = kernel_of(file, layer)
        assert kernel.values.shape == expected[layer].shape
        # Every one is the layer's own: it goes with the layer's Keras weights, which BatchNormalization
        # scales by output channel.
        stored = (kernel.values.astype(np.float64) - kernel.zero_point.reshape(-1)[0]).reshape(
            len(kernel.values), -1
        )
        for row, own in zip(stored, expected[layer].reshape(len(stored), -1), strict=True):
            assert abs(np.corrcoef(row, own)[0, 1]) > 0.99


@pytest.mark.parametrize("base", ["quantization_aware", "pruned_quantization_aware"])
def test_kernels_of_quantization_aware_models_are_found(
    base: str, converted: Callable[..., Step], request: pytest.FixtureRequest
) -> None:
    step = request.getfixturevalue(base)
    file = model_files.tflite_file(converted(step.uri, "int8", "int8").uri)

    for layer, values in keras_kernels(step.uri).items():
        kernel = kernel_of(file, layer)
        assert kernel.values.dtype == np.int8
        assert kernel.values.shape == values.shape


@pytest.mark.parametrize(("quantization", "io"), FORMATS, ids=ids)
def test_sparsity_is_what_the_interpreters_tensors_have(
    pruned: Step, converted: Callable[..., Step], quantization: str, io: str
) -> None:
    file = model_files.tflite_file(converted(pruned.uri, quantization, io).uri)
    measured = layer_weights.file_sparsity(file, LAYERS)

    assert sorted(measured) == LAYERS
    for layer in LAYERS:
        # Float16 kernels are there a second time, dequantized.
        tensors = tensors_by_shape(file, kernel_of(file, layer).values.shape)
        counted = {np.mean(v == (z if z.size == 1 else 0)) for v, z in tensors if v.dtype != np.float32}
        counted |= {np.mean(v == 0) for v, _ in tensors if v.dtype == np.float32}
        assert measured[layer] in counted
        assert measured[layer] == pytest.approx(0.8, abs=0.008 if layer == "conv1" else 0.005)


def test_zeros_are_what_stands_for_zero_in_each_channel() -> None:
    values = np.array([[0, 5, 5], [0, 7, 0]], np.int8)

    def sparsity(zero_point: list[int], axis: int) -> float:
        return layer_weights.Kernel("CONV_2D", frozenset(), values, np.array(zero_point), axis).sparsity()

    assert sparsity([0], 0) == 3 / 6
    assert sparsity([5], 0) == 2 / 6
    assert sparsity([5, 7], 0) == 3 / 6
    assert sparsity([0, 7, 5], 1) == (2 + 1 + 1) / 6


def test_keras_sparsity_measures_only_what_is_asked_for() -> None:
    model = tf_keras.Sequential(
        [layers.Input((4,)), layers.Dense(5, name="a"), layers.Dense(2, name="b"), layers.ReLU(name="c")]
    )
    kernel = np.ones((4, 5))
    kernel[0] = 0
    model.get_layer("a").set_weights([kernel, np.zeros(5)])

    assert layer_weights.keras_sparsity(model, ["a", "nowhere"]) == {"a": 0.25}


def sequential(*stack: Any, shape: tuple[int, ...]) -> tf_keras.Model:
    return tf_keras.Sequential([layers.Input(shape, name="x"), *stack])


def two_heads() -> tf_keras.Model:
    x = layers.Input((8,), name="x")
    hidden = layers.Dense(16, activation="relu", name="hidden")(x)
    return tf_keras.Model(x, [layers.Dense(3, name="a")(hidden), layers.Dense(3, name="b")(hidden)])


def write(model: tf_keras.Model, folder: Path, quantization: str, io: str) -> str:
    rng = np.random.default_rng(0)
    model_files.save(model, str(folder), ["x"], StepRecord())
    calibration = Arrays({"x": rng.random((8, *model.input_shape[1:])).astype(np.float32)}, np.zeros(8))
    content = convert(
        model_files.serving_dir(str(folder)), {"quantization": quantization, "io": io}, False, calibration
    )
    file = folder / "tflite"
    file.write_bytes(content)
    return str(file)


def set_zeros(model: tf_keras.Model, layer: str, share: float) -> None:
    """Makes a share of a layer's kernel zero, and its bias not: a bias of zeros is left out."""
    kernel = layer_weights.kernel_of(model.get_layer(layer))
    values = np.random.default_rng(1).normal(size=kernel.shape)
    flat = values.reshape(-1)
    flat[: int(share * flat.size)] = 0
    kernel.assign(values)


@pytest.mark.parametrize(
    ("quantization", "io"),
    [("float32", "float32"), ("float16", "float32"), ("int8", "float32"), ("int8", "int8")],
)
def test_layers_that_write_the_models_outputs_are_found(tmp_path: Path, quantization: str, io: str) -> None:
    # Their tensors are called StatefulPartitionedCall:0 and :1.
    model = two_heads()
    set_zeros(model, "a", 0.75)
    set_zeros(model, "b", 0.25)

    measured = layer_weights.file_sparsity(write(model, tmp_path, quantization, io), ["hidden", "a", "b"])
    assert measured["a"] == pytest.approx(0.75, abs=0.021)  # one more may round to zero
    assert measured["b"] == pytest.approx(0.25, abs=0.021)
    assert measured["hidden"] < 0.05


def test_of_a_separable_convolution_the_pointwise_half_counts(tmp_path: Path) -> None:
    model = sequential(
        layers.SeparableConv2D(8, 3, name="separable"),
        layers.Flatten(),
        layers.Dense(2, name="d"),
        shape=(6, 6, 4),
    )
    set_zeros(model, "separable", 0.5)

    assert layer_weights.keras_sparsity(model, ["separable"]) == {"separable": 0.5}
    file = write(model, tmp_path, "float32", "float32")
    assert layer_weights.file_sparsity(file, ["separable"]) == {"separable": 0.5}


def test_a_depthwise_convolution_is_measured_by_its_own_kernel(tmp_path: Path) -> None:
    model = sequential(
        layers.DepthwiseConv2D(3, name="depthwise"), layers.Flatten(), layers.Dense(2), shape=(6, 6, 4)
    )
    set_zeros(model, "depthwise", 0.5)

    file = write(model, tmp_path, "float32", "float32")
    assert layer_weights.file_sparsity(file, ["depthwise"]) == {"depthwise": 0.5}


def test_an_embedding_is_found(tmp_path: Path) -> None:
    model = sequential(
        layers.Embedding(10, 4, name="embedding"), layers.Flatten(), layers.Dense(2, name="d"), shape=(5,)
    )
    set_zeros(model, "embedding", 0.5)

    file = write(model, tmp_path, "float32", "float32")
    assert layer_weights.file_sparsity(file, ["embedding"]) == {"embedding": 0.5}
