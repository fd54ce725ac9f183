"""TFLite files on LiteRT: quantizing what goes in and out, and refusing what cannot be run."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from components.common.data.model_inputs import ExamplesError
from components.common.models import model_files
from components.common.tflite.litert import LiteRTError, LiteRTModel, dequantize, quantize
from tests.components.conftest import Step
from tests.conftest import Trained

SCALE = 1 / 128  # with zero point 0, int8 reaches from -1 to 127/128


scales = st.floats(2**-20, 2**10, width=32)
reals = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(
    reals | st.integers(-300, 300).map(lambda count: count / 2 * SCALE),
    scales | st.just(SCALE),
    st.integers(-128, 127),
)
def test_quantize_rounds_half_to_even_adds_the_zero_point_and_clips(
    value: float, scale: float, zero_point: int
) -> None:
    exact = round(Fraction(np.float64(value) / scale)) + zero_point  # Python rounds a half to even
    for dtype in (np.int8, np.int16):
        limits = np.iinfo(dtype)
        got = quantize(np.array([value], np.float32), scale, zero_point, dtype)
        assert (got.dtype, got.tolist()) == (dtype, [min(max(exact, limits.min), limits.max)])


def test_quantize_takes_infinity_for_far_away() -> None:
    assert quantize(np.array([-np.inf, np.inf], np.float32), SCALE, 0, np.int8).tolist() == [-128, 127]


def test_tensors_without_a_scale_are_only_cast() -> None:
    assert quantize(np.array([1.7]), 0.0, 0, np.float32).dtype == np.float32
    assert quantize(np.array([3.0]), 0.0, 0, np.int64).tolist() == [3]
    assert dequantize(np.array([0.3], np.float32), 0.0, 0).tolist() == [np.float32(0.3)]


@given(scales, st.integers(-128, 127))
def test_dequantize_is_the_inverse_on_every_int8_value(scale: float, zero_point: int) -> None:
    stored = np.arange(-128, 128).astype(np.int8)
    real = dequantize(stored, scale, zero_point)

    assert real.dtype == np.float32
    np.testing.assert_allclose(real, (stored.astype(np.float64) - zero_point) * scale, rtol=1e-6)
    np.testing.assert_array_equal(quantize(real, scale, zero_point, np.int8), stored)


def test_inputs_and_outputs_go_by_their_names_in_the_signature(
    trained: Trained, converted: Callable[..., Step], mnist_arrays: dict
) -> None:
    model = LiteRTModel(model_files.tflite_file(converted(trained.uri, "int8", "int8").uri))
    result = model.predict({"image": mnist_arrays["eval"].images[0]})

    assert {name: (spec.shape, spec.dtype) for name, spec in model.inputs.items()} == {
        "image": ((28, 28, 1), np.float32)
    }
    assert list(result) == ["probabilities"]
    assert result["probabilities"].shape == (10,)
    assert result["probabilities"].dtype == np.float32
    assert result["probabilities"].sum() == pytest.approx(1.0, abs=0.02)


def test_a_missing_feature_is_named(trained: Trained, converted: Callable[..., Step]) -> None:
    model = LiteRTModel(model_files.tflite_file(converted(trained.uri, "float32").uri))

    with pytest.raises(LiteRTError, match="'image'"):
        model.predict({"picture": np.zeros(784)})
    with pytest.raises(LiteRTError, match="'image'"):
        model.predict({"image": None})
    with pytest.raises(ExamplesError, match=r"'image' has shape \(783,\)"):
        model.predict({"image": np.zeros(783)})


def test_garbage_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tflite"
    file.write_bytes(b"no flatbuffer at all" * 100)

    with pytest.raises(LiteRTError, match="does not load on LiteRT"):
        LiteRTModel(str(file))


def test_an_empty_or_missing_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")

    for name in ("empty", "missing"):
        with pytest.raises(LiteRTError, match="does not load on LiteRT"):
            LiteRTModel(str(tmp_path / name))


def test_a_file_without_the_signature_is_refused(tmp_path: Path) -> None:
    @tf.function(input_signature=[tf.TensorSpec([1, 3])])
    def double(x: tf.Tensor) -> tf.Tensor:
        return 2 * x

    converter = tf.lite.TFLiteConverter.from_concrete_functions([double.get_concrete_function()])
    (tmp_path / "tflite").write_bytes(converter.convert())

    with pytest.raises(LiteRTError, match="no signature 'serving_default'"):
        LiteRTModel(str(tmp_path / "tflite"))
