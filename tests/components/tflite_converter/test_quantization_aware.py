"""Conversion of quantization-aware models: to int8 alone, with no fake quantization left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras

from components.common.models import model_files
from components.common.tflite import tflite_file
from components.tflite_converter.conversion_error import ConversionError
from components.tflite_converter.executor import convert
from components.tflite_converter.params import ConvertOptions
from tests.components.tflite_converter.conftest import layers, predict

FEATURES = {"x": np.random.default_rng(0).normal(size=(20, 8, 8, 3)).astype(np.float32)}


@pytest.fixture(scope="module")
def aware(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, np.ndarray]:
    """A quantization-aware SavedModel that has seen some examples, and its predictions."""
    tf_keras.utils.set_random_seed(1)
    x = layers.Input((8, 8, 3), name="x")
    y = layers.Conv2D(8, 3, activation="relu", name="conv")(x)
    y = layers.Dense(4, name="scores")(layers.Flatten(name="flatten")(y))
    model = tfmot.quantization.keras.quantize_model(tf_keras.Model(x, y, name="net"))
    for _ in range(3):
        model(FEATURES["x"], training=True)
    folder = str(tmp_path_factory.mktemp("aware"))
    model_files.save_serving(model, folder, ["x"])
    return folder, model(FEATURES["x"], training=False).numpy()


@pytest.mark.parametrize("sets", [[], ["TFLITE_BUILTINS"]])
@pytest.mark.parametrize("io", ["float32", "int8"])
def test_int8_has_the_trained_ranges_and_no_fake_quantization(
    aware: tuple[str, np.ndarray], io: str, sets: list[str], tmp_path: Path
) -> None:
    folder, expected = aware
    content = convert(folder, ConvertOptions(quantization="int8", io=io, supported_ops=sets), True, None)

    found = tflite_file.parse(content).operators
    assert [o.name for o in found if o.quantized()] == ["CONV_2D", "RESHAPE", "FULLY_CONNECTED"]
    assert not any(o.in_float() or o.name == "FAKE_QUANT" for o in found)
    assert [o.name for o in found if not o.quantized()] == ["QUANTIZE", "DEQUANTIZE"] * (io == "float32")
    outputs = predict(content, FEATURES, tmp_path)["scores"]
    assert np.abs(outputs - expected).max() < 0.02 * np.abs(expected).max()


@pytest.mark.parametrize("quantization", ["float32", "dynamic", "float16", "int16x8"])
def test_another_quantization_is_refused(aware: tuple[str, np.ndarray], quantization: str) -> None:
    with pytest.raises(ConversionError, match=rf"`convert` to {quantization} would not keep that; write"):
        convert(aware[0], ConvertOptions(quantization=quantization), True, None)


@pytest.mark.parametrize("quantization", ["float32", "dynamic", "float16"])
def test_unreported_fake_quantization_is_found_in_the_file(
    aware: tuple[str, np.ndarray], quantization: str
) -> None:
    """As if build_model itself returned a quantization-aware model."""
    with pytest.raises(ConversionError) as raised:
        convert(aware[0], ConvertOptions(quantization=quantization), False, None)

    said = str(raised.value)
    assert said.startswith(f"the {quantization} file would have fake-quantization operators, QUANTIZE (")
    assert said.endswith("write a `qat` step and quantization: int8, or build the model without them")


def test_fake_quantization_of_the_models_own_is_named(tmp_path: Path) -> None:
    x = layers.Input((4,), name="x")
    y = tf.quantization.fake_quant_with_min_max_args(layers.Dense(3, name="d")(x), -1, 1, num_bits=16)
    model_files.save_serving(tf_keras.Model(x, y, name="net"), str(tmp_path), ["x"])

    with pytest.raises(ConversionError, match=r"operators, QUANTIZE \(.*FakeQuant\w+\), as the model"):
        convert(str(tmp_path), ConvertOptions(quantization="float32"), False, None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"float_ops": ["FULLY_CONNECTED"]}, "`qat` has its own `exclude`"),
        ({"float_layers": ["conv"]}, "`qat` has its own `exclude`"),
        ({"granularity": "per-tensor"}, "whose scales `qat` has trained"),
        ({"supported_ops": ["TFLITE_BUILTINS_INT8"]}, "after `qat` write"),
    ],
)
def test_options_without_effect_are_refused(
    aware: tuple[str, np.ndarray], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConversionError, match=said):
        convert(aware[0], ConvertOptions(quantization="int8", **options), True, None)


def test_granularity_has_no_effect_indeed(aware: tuple[str, np.ndarray]) -> None:
    contents = [
        convert(aware[0], ConvertOptions(quantization="int8"), True, None, clustered)
        for clustered in (False, True)
    ]

    for content in contents:
        scales = {o.name: o.kernel_scales for o in tflite_file.parse(content).operators}
        assert scales["CONV_2D"] == 8 and scales["FULLY_CONNECTED"] == 1
