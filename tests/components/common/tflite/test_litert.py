"""TFLite files on LiteRT: quantizing what goes in and out, and refusing what cannot be run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.common.data.model_inputs import ExamplesError
from components.common.models import model_files
from components.common.tflite.litert import LiteRTError, LiteRTModel, dequantize, quantize
from tests.components.conftest import Step
from tests.conftest import Trained

SCALE = 1 / 128  # with zero point 0, int8 reaches from -1 to 127/128


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(0.0, 0, id="zero"),
        pytest.param(1.01, 127, id="above-the-range-is-the-highest-and-does-not-wrap-to-minus-127"),
        pytest.param(127.6 * SCALE, 127, id="rounding-up-out-of-the-range-is-clipped"),
        pytest.param(-1.01, -128, id="below-the-range-is-the-lowest"),
        pytest.param(1e30, 127, id="far-above"),
        pytest.param(-np.inf, -128, id="minus-infinity"),
        pytest.param(0.5 * SCALE, 0, id="half-goes-to-even-0"),
        pytest.param(1.5 * SCALE, 2, id="half-goes-to-even-2"),
        pytest.param(2.5 * SCALE, 2, id="half-goes-to-even-2-from-above"),
        pytest.param(-0.5 * SCALE, 0, id="minus-half-goes-to-even-0"),
        pytest.param(-1.5 * SCALE, -2, id="minus-half-goes-to-even-minus-2"),
        pytest.param(0.9 * SCALE, 1, id="rounded-not-truncated"),
        pytest.param(-0.9 * SCALE, -1, id="negative-rounded-not-truncated"),
    ],
)
def test_quantize_rounds_half_to_even_and_clips(value: float, expected: int) -> None:
    assert quantize(np.array([value], np.float32), SCALE, 0, np.int8).tolist() == [expected]


def test_quantize_adds_the_zero_point_after_rounding_and_before_clipping() -> None:
    values = np.array([0.0, 0.5, 2.5, 255.0, 256.0, -1.0], np.float32)

    assert quantize(values, 1.0, -128, np.int8).tolist() == [-128, -128, -126, 127, 127, -128]
    assert quantize(values, 1.0, -128, np.int8).dtype == np.int8


def test_quantize_knows_the_limits_of_int16() -> None:
    values = np.array([1e9, -1e9, 300.0], np.float32)

    assert quantize(values, 1.0, 0, np.int16).tolist() == [32767, -32768, 300]


def test_tensors_without_a_scale_are_only_cast() -> None:
    assert quantize(np.array([1.7]), 0.0, 0, np.float32).dtype == np.float32
    assert quantize(np.array([3.0]), 0.0, 0, np.int64).tolist() == [3]
    assert dequantize(np.array([0.3], np.float32), 0.0, 0).tolist() == [np.float32(0.3)]


def test_dequantize_is_the_inverse_on_every_int8_value() -> None:
    stored = np.arange(-128, 128).astype(np.int8)
    real = dequantize(stored, 0.0371, 17)

    assert real.dtype == np.float32
    np.testing.assert_allclose(real, (stored.astype(np.float64) - 17) * 0.0371, rtol=1e-6)
    np.testing.assert_array_equal(quantize(real, 0.0371, 17, np.int8), stored)


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
