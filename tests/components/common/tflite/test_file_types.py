"""Types of a TFLite file against what its conversion was asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from components.common.base.asked_types import AskedTypes
from components.common.tflite import file_types, tflite_file
from components.common.tflite.tflite_file import TFLiteFile
from components.tflite_converter.params import ConvertOptions
from tests.components.conftest import KERNEL_SHAPES, Step
from tests.conftest import Trained

layers = tf_keras.layers
MakeFile = Callable[..., TFLiteFile]


@pytest.fixture
def mnist(trained: Trained, converted: Callable[..., Step]) -> MakeFile:
    """The baseline as a file of some quantization."""

    def make(quantization: str, io: str = "float32", **options: Any) -> TFLiteFile:
        uri = converted(trained.uri, quantization, io, **options).uri
        return tflite_file.read(Path(uri) / "Format-Serving" / "tflite")

    return make


@pytest.fixture
def write(tmp_path: Path) -> MakeFile:
    """A model as TensorFlow Lite itself converts it; int8 with random examples."""

    def make(model: tf_keras.Model, quantization: str, io: Any = tf.float32) -> TFLiteFile:
        folder = str(tmp_path / "saved")
        spec = tf.TensorSpec([None, *model.inputs[0].shape[1:]], model.inputs[0].dtype, name="x")
        function = tf.function(lambda x: {"y": model(x, training=False)}, autograph=False)
        module = tf.Module()
        module.kept = model.variables
        signature = function.get_concrete_function(spec)
        tf.saved_model.save(module, folder, signatures={"serving_default": signature})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if quantization != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantization == "int8":
            generator = np.random.default_rng(1)
            converter.representative_dataset = lambda: (
                {"x": generator.normal(size=(1, *spec.shape[1:])).astype(spec.dtype.as_numpy_dtype)}
                for _ in range(9)
            )
            converter.inference_input_type = converter.inference_output_type = io
        path = tmp_path / "file.tflite"
        path.write_bytes(converter.convert())
        return tflite_file.read(path)

    return make


def reasons(file: TFLiteFile, *float_layers: str, **options: Any) -> dict[str, str]:
    """Figure → why it is not as it was asked for."""
    asked = ConvertOptions(**options).types()
    return {one.figure: one.reason for one in file_types.check(file, asked, float_layers) if not one.met}


@pytest.mark.parametrize(
    ("quantization", "io"),
    [
        ("float32", "float32"),
        ("float16", "float32"),
        ("dynamic", "float32"),
        ("int8", "float32"),
        ("int8", "int8"),
        ("int16x8", "int16"),
    ],
)
def test_a_file_as_it_was_asked_for_holds(mnist: MakeFile, quantization: str, io: str) -> None:
    file = mnist(quantization, io)
    checks = file_types.check(file, AskedTypes(quantization=quantization, io=io), [])

    assert [one for one in checks if not one.met or one.reason] == []
    figures = {f"weights[{layer}]" for layer in KERNEL_SHAPES}
    figures |= {"input[image]", "output[probabilities]", "operators"}
    figures |= {"activations"} if quantization.startswith("int") else set()
    assert {one.figure for one in checks} == figures


@pytest.mark.parametrize(
    ("quantization", "asked", "kernel", "count"),
    [
        ("float32", "int8", "weights of layer dense are float32, not int8", 4),
        ("float32", "float16", "weights of layer dense are float32, not float16", 4),
        ("float16", "float32", "weights of layer dense are float16, not float32", 4),
        ("int8", "float32", "weights of layer dense are int8, not float32", 4),
        ("dynamic", "int8", None, 3),
        ("float32", "dynamic", "weights of layer dense are float32, not int8", 1),
    ],
)
def test_other_weights_are_reported(
    mnist: MakeFile, quantization: str, asked: str, kernel: str | None, count: int
) -> None:
    found = reasons(mnist(quantization), quantization=asked)

    assert found.get("weights[dense]") == kernel
    assert sum(figure.startswith("weights") for figure in found) == count


def test_int8_weights_alone_are_not_int8(mnist: MakeFile) -> None:
    """Weights are those that were asked for, and everything between the layers is float."""
    found = reasons(mnist("dynamic"), quantization="int8")

    assert found["activations"].endswith("of the values between operators are float32, not integers")


@pytest.mark.parametrize(
    ("made", "asked", "input_", "output"),
    [
        (
            "float32",
            "int8",
            "input image is float32, not int8",
            "output probabilities is float32, not int8",
        ),
        (
            "int8",
            "float32",
            "input image is int8, not float32",
            "output probabilities is int8, not float32",
        ),
    ],
)
def test_other_ends_are_reported(mnist: MakeFile, made: str, asked: str, input_: str, output: str) -> None:
    found = reasons(mnist("int8", made), quantization="int8", io=asked)

    assert found == {"input[image]": input_, "output[probabilities]": output}


@pytest.mark.parametrize("io", ["float32", "int8"])
def test_an_input_that_is_an_integer_by_nature_stays_one(write: MakeFile, io: str) -> None:
    image = layers.Input((4,), dtype=tf.uint8, name="x")
    model = tf_keras.Model(image, layers.Dense(3)(layers.Embedding(256, 5)(image)))
    file = write(model, "dynamic")

    assert file.inputs["x"].dtype == "uint8" and file.inputs["x"].scales.size == 0
    checks = file_types.check(file, AskedTypes(quantization="dynamic", io=io), [])
    assert "input[x]" not in [one.figure for one in checks if not one.met]


def test_an_operator_without_integers_is_reported_unless_it_was_allowed(write: MakeFile) -> None:
    x = layers.Input((4,))
    y = layers.Dense(3, name="after")(tf.sin(layers.Dense(4, name="before")(x)))
    file = write(tf_keras.Model(x, y), "int8")
    assert file.operator_counts["SIN"] == 1

    assert reasons(file, quantization="int8") == {
        "activations": "2 of the values between operators are float32, not integers"
    }
    assert reasons(file, quantization="int8", float_ops=["SIN"]) == {}
    assert reasons(file, quantization="int8", supported_ops=["TFLITE_BUILTINS"]) == {}
    assert "activations" in reasons(file, quantization="int8", supported_ops=["TFLITE_BUILTINS_INT8"])


@pytest.mark.parametrize(
    "options", [{"float_ops": ["FULLY_CONNECTED"]}, {"float_layers": ["de*", "prob*"]}]
)
def test_what_was_left_in_float_may_be(mnist: MakeFile, options: dict[str, Any]) -> None:
    file = mnist("int8", **options)

    dtypes = {kernel.layer: kernel.dtype for kernel in file.kernels}
    assert dtypes == {"conv1": "int8", "conv2": "int8", "dense": "float32", "probabilities": "float32"}
    assert reasons(file, quantization="int8", **options) == {}
    assert reasons(file, "dense", "probabilities", quantization="int8") == {}
    assert sorted(reasons(file, "dense", quantization="int8")) == ["weights[probabilities]"]


def test_what_was_to_be_left_in_float_has_to_be(mnist: MakeFile) -> None:
    file = mnist("int8")

    assert reasons(file, "dense", quantization="int8") == {
        "weights[dense]": "weights of layer dense are int8, not float32"
    }
    # An activation that is fused with its layer has no types of its own.
    assert reasons(file, "conv1_relu", quantization="int8") == {}


@pytest.mark.parametrize(("weights", "dtype"), [(1020, "float32"), (1024, "int8")])
def test_dynamic_range_leaves_small_kernels_in_float(write: MakeFile, weights: int, dtype: str) -> None:
    x = layers.Input((4,))
    file = write(tf_keras.Model(x, layers.Dense(weights // 4, name="d")(x)), "dynamic")

    assert [kernel.dtype for kernel in file.kernels] == [dtype]
    assert reasons(file, quantization="dynamic") == {}


@pytest.mark.parametrize("layer", [layers.Conv3D(64, 3), layers.Conv3DTranspose(64, 3)])
def test_and_those_of_operators_that_have_no_such_kernels(write: MakeFile, layer: Any) -> None:
    x = layers.Input((4, 4, 4, 2))
    file = write(tf_keras.Model(x, layer(x)), "dynamic")

    assert [(k.dtype, k.values.size) for k in file.kernels] == [("float32", 64 * 27 * 2)]
    assert reasons(file, quantization="dynamic") == {}
    assert len(reasons(file, quantization="float16")) == 1


@pytest.mark.parametrize("quantization", ["float32", "dynamic", "float16"])
def test_fake_quantization_that_is_left_is_reported(write: MakeFile, quantization: str) -> None:
    x = layers.Input((4,))
    y = tf.quantization.fake_quant_with_min_max_args(layers.Dense(3, name="d")(x), -1, 1)
    file = write(tf_keras.Model(x, y), "float32")

    assert reasons(file, quantization=quantization)["operators"] == (
        "the file computes fake quantization (QUANTIZE)"
    )


def test_sparse_files_have_the_types_of_dense_ones(pruned: Step, converted: Callable[..., Step]) -> None:
    uri = converted(pruned.uri, "float32", sparse=True).uri
    file = tflite_file.read(Path(uri) / "Format-Serving" / "tflite")

    assert any(kernel.sparse for kernel in file.kernels)
    assert reasons(file, quantization="float32") == {}
