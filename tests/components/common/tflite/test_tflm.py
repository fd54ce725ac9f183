"""TFLite files on TFLite Micro: predictions beside LiteRT's, memory, and refusals by operator."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.common.data.model_inputs import ExamplesError
from components.common.models import model_files
from components.common.tflite.litert import LiteRTModel
from components.common.tflite.tflm import TFLMError, TFLMModel, least_arena
from tests.components.conftest import Step
from tests.conftest import Trained


def file_of(converted: Callable[..., Step], trained: Trained, *asked: str) -> str:
    return model_files.tflite_file(converted(trained.uri, *asked).uri)


def function_file(
    function: Callable[[Any], Any], shape: tuple[int, ...] = (1, 8), flex: bool = False
) -> bytes:
    """A float32 file that computes a function of one input."""

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec(shape, name="x")])
        def serve(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": function(x)}

    module = Module()
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.serve.get_concrete_function()], module
    )
    if flex:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    return converter.convert()


@pytest.mark.parametrize(
    ("asked", "apart"), [(("float32",), 2e-6), (("int8", "int8"), 0.02), (("int8",), 0.02)]
)
def test_predictions_are_those_of_litert(
    asked: tuple[str, ...],
    apart: float,
    trained: Trained,
    converted: Callable[..., Step],
    mnist_arrays: dict[str, Any],
) -> None:
    path = file_of(converted, trained, *asked)
    images = {"image": mnist_arrays["eval"].images}
    micro, litert = TFLMModel.read(path), LiteRTModel(path)

    got, wanted = (model.predict_each(images)["probabilities"] for model in (micro, litert))

    assert micro.inputs == litert.inputs
    assert (got.dtype, got.shape) == (np.float32, wanted.shape)
    assert np.abs(got - wanted).max() <= apart + 1e-7
    assert np.mean(got.argmax(axis=1) == wanted.argmax(axis=1)) >= 0.99
    one = micro.predict({"image": images["image"][3]})["probabilities"]
    np.testing.assert_array_equal(one, got[3])


def test_memory_is_what_the_file_needs_to_load(trained: Trained, converted: Callable[..., Step]) -> None:
    content = Path(file_of(converted, trained, "int8", "int8")).read_bytes()

    arena = TFLMModel(content).arena()

    assert arena.head >= 28 * 28 and arena.tail > 0  # the input is 784 bytes
    assert arena.total == arena.head + arena.tail
    least = least_arena(content, arena)
    assert arena.total <= least <= arena.total + 512 and least % 16 == 0
    with pytest.raises(TFLMError, match="needs an arena of more than"):
        TFLMModel(content, least - 16 * 16)


@pytest.mark.parametrize(
    ("quantization", "operator", "why"),
    [("dynamic", "FULLY_CONNECTED", "no hybrid kernels"), ("float16", "DEQUANTIZE", "float16")],
)
def test_types_without_a_kernel_are_refused_by_operator(
    quantization: str, operator: str, why: str, trained: Trained, converted: Callable[..., Step]
) -> None:
    with pytest.raises(TFLMError, match=why) as error:
        TFLMModel.read(file_of(converted, trained, quantization))

    assert error.value.operator == operator


@pytest.mark.parametrize(
    ("function", "operator"),
    [
        (lambda x: tf.math.top_k(x, 2)[0], "TOPK_V2"),
        (tf.nn.gelu, "GELU"),
        (lambda x: tf.math.atan2(x, x + 1), "ATAN2"),
        (
            lambda x: tf.nn.conv3d(
                tf.reshape(x, (1, 2, 2, 2, 1)), tf.ones((2, 2, 2, 1, 1)), [1] * 5, "VALID"
            ),
            "CONV_3D",
        ),
    ],
)
def test_operators_that_it_lacks_are_named(function: Callable[[Any], Any], operator: str) -> None:
    with pytest.raises(TFLMError, match=f"{operator}: TFLite Micro has no such operator") as error:
        TFLMModel(function_file(function))

    assert error.value.operator == operator


def test_operators_of_tensorflow_are_named() -> None:
    with pytest.raises(TFLMError, match="not an operator of TFLite") as error:
        TFLMModel(function_file(tf.math.erf, flex=True))

    assert error.value.operator == "FlexErf"


def test_an_operator_that_cannot_be_prepared_is_named_with_its_reason() -> None:
    with pytest.raises(TFLMError, match="FILL: Non-constant >dims< tensor is not supported") as error:
        TFLMModel(function_file(lambda x: tf.fill(tf.cast(x[0, :2], tf.int32), 1.0)))

    assert error.value.operator == "FILL"


def test_what_is_not_a_file_of_tflite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TFLMError, match="is empty"):
        TFLMModel(b"")
    with pytest.raises(TFLMError, match="No such file"):
        TFLMModel.read(str(tmp_path / "missing"))


def test_missing_features_are_named(trained: Trained, converted: Callable[..., Step]) -> None:
    model = TFLMModel.read(file_of(converted, trained, "float32"))

    with pytest.raises(TFLMError, match="'image'"):
        model.predict({"picture": np.zeros(784)})
    with pytest.raises(ExamplesError, match=r"'image' has shape \(783,\)"):
        model.predict({"image": np.zeros(783)})


def test_standard_error_is_given_back(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TFLMError):
        TFLMModel(function_file(tf.nn.gelu))
    capfd.readouterr()
    os.write(2, b"still here\n")

    assert capfd.readouterr().err == "still here\n"
