"""What cannot be converted is said in a line that names operators and layers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from components.common.tflite import tflite_file
from components.tflite_converter.conversion_error import ConversionError, reason
from components.tflite_converter.executor import convert
from components.tflite_converter.params import ConvertOptions
from tests.components.tflite_converter.conftest import Convertible, layers, saved

FLEX = (
    "; build the model without it, or write supported_ops: [TFLITE_BUILTINS, SELECT_TF_OPS], though LiteRT "
    "does not load such a file"
)


def refused(make: Callable[[tf.Tensor], tf.Tensor], folder: Path, dtype: str = "float32") -> str:
    """The message with which a model of one (3, 3) input is refused."""
    tf_keras.backend.reset_uids()  # names without a number, whatever was built before
    x = layers.Input((3, 3), name="x", dtype=dtype)
    folder = saved(tf_keras.Model(x, make(x), name="net"), folder).folder
    with pytest.raises(ConversionError) as raised:
        convert(folder, ConvertOptions(quantization="float32"), False, None)
    message = str(raised.value)
    assert "\n" not in message and "<unknown>" not in message and len(message) < 450
    return message.removeprefix("conversion to float32 failed: ")


def test_an_operator_without_a_kernel(tmp_path: Path) -> None:
    assert refused(tf.linalg.inv, tmp_path) == (
        "no kernel of TensorFlow Lite computes MatrixInverse(tensor<?x3x3xf32>) of layer tf.linalg.inv"
        + FLEX
    )


def test_all_operators_without_a_kernel_are_named(tmp_path: Path) -> None:
    class Gauss(layers.Layer):
        def call(self, inputs: tf.Tensor) -> tf.Tensor:
            return tf.math.erf(tf.linalg.inv(inputs)) + tf.math.erf(inputs)

    said = refused(lambda x: layers.Dense(2)(Gauss(name="gauss")(x)), tmp_path)
    assert said.startswith("no kernel of TensorFlow Lite computes ") and said.endswith(FLEX)
    for name in ("Erf", "MatrixInverse"):
        assert said.count(f"{name}(tensor<?x3x3xf32>) of layer gauss") == 1


def test_a_type_without_a_kernel(tmp_path: Path) -> None:
    said = refused(lambda x: layers.Dense(2, dtype="float64", name="wide")(x), tmp_path, dtype="float64")

    assert "(tensor<?x3xf64>, tensor<" in said or "xf64>" in said
    assert "of layer wide" in said and said.endswith(FLEX)


def test_an_operator_that_not_even_flex_has(tmp_path: Path) -> None:
    assert refused(lambda x: tf.math.igamma(x, x), tmp_path) == (
        "no kernel of TensorFlow Lite, nor of TensorFlow inside it, computes Igamma(tensor<?x3x3xf32>, "
        "tensor<?x3x3xf32>) of layer tf.math.igamma; build the model without it"
    )


def test_a_rule_that_a_recurrent_layer_breaks(tmp_path: Path) -> None:
    assert refused(lambda x: layers.LSTM(4, name="memory")(x), tmp_path) == (
        "TensorListReserve of layer memory: requires element_shape to be static during TF Lite "
        "transformation pass"
    )


def test_errors_without_structure_are_cut_to_a_line() -> None:
    assert reason(RuntimeError("bad kernel.\nmore\n")) == "bad kernel"
    assert reason(ValueError()) == "ValueError"
    assert reason(RuntimeError("x" * 1000)) == "x" * 300 + "…"


def inverse(folder: Path) -> Convertible:
    x = layers.Input((3, 3), name="x")
    model = tf_keras.Model(x, layers.Dense(2, name="dense")(tf.linalg.inv(x)), name="net")
    random = np.random.default_rng(0)
    examples = random.normal(size=(8, 3, 3)).astype(np.float32) + 3 * np.eye(3, dtype=np.float32)
    return saved(model, folder, {"x": examples})


def test_flex_operators_are_written_if_asked_for_and_do_not_load(tmp_path: Path) -> None:
    model = inverse(tmp_path / "model")
    content = model.convert(quantization="float32", supported_ops=["TFLITE_BUILTINS", "SELECT_TF_OPS"])

    assert {"FlexMatrixInverse", "FULLY_CONNECTED"} <= {
        o.name for o in tflite_file.parse(content).operators
    }
    (tmp_path / "model.tflite").write_bytes(content)
    # In a separate process: if TensorFlow is loaded, LiteRT finds its Flex delegate.
    code = (
        "import sys; from ai_edge_litert.interpreter import Interpreter;"
        "Interpreter(sys.argv[1]).allocate_tensors()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model.tflite")], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "Select TensorFlow op(s), included in the given model, is(are) not supported" in done.stderr


def cosine(folder: Path) -> Convertible:
    x = layers.Input((6,), name="x")
    model = tf_keras.Model(x, layers.Dense(2, name="dense")(tf.math.cos(x)), name="net")
    return saved(model, folder, {"x": np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)})


def test_integers_alone_are_refused_if_an_operator_has_no_int8_kernel(tmp_path: Path) -> None:
    model = cosine(tmp_path / "model")

    with pytest.raises(ConversionError, match=r"allows only integers, but COS would stay in float; write"):
        model.convert(quantization="int8", supported_ops=["TFLITE_BUILTINS_INT8"])
    content = model.convert(quantization="int8", supported_ops=["TFLITE_BUILTINS_INT8", "TFLITE_BUILTINS"])
    kinds = {o.name: o.in_float() for o in tflite_file.parse(content).operators}
    assert kinds == {"COS": True, "QUANTIZE": False, "FULLY_CONNECTED": False, "DEQUANTIZE": False}
    assert model.error_of(content, tmp_path) < 0.05


def test_int16x8_falls_back_to_float_only_if_asked_to(tmp_path: Path) -> None:
    model = cosine(tmp_path / "model")

    with pytest.raises(ConversionError, match=r"^conversion to int16x8 failed: .*COS"):
        model.convert(quantization="int16x8")
    content = model.convert(quantization="int16x8", supported_ops=["TFLITE_BUILTINS"])
    kinds = {o.name: o.in_float() for o in tflite_file.parse(content).operators}
    assert kinds["COS"] and not kinds["FULLY_CONNECTED"]
    assert model.error_of(content, tmp_path) < 0.02


def test_operators_in_float_are_a_fact_of_int8_files(tmp_path: Path, mixed: Convertible) -> None:
    from components.tflite_converter.executor import facts_of

    options = ConvertOptions(quantization="int8")
    content = cosine(tmp_path / "model").convert(quantization="int8")
    assert facts_of(content, options)["float_operators"] == "1 × COS"
    assert "float_operators" not in facts_of(mixed.convert(quantization="int8"), options)
