"""Weights that are NaN or infinite are named, before the conversion and in a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from components.common.models import model_files
from components.common.tflite import tflite_file
from components.common.tflite.litert import LiteRTError, LiteRTModel
from components.tflite_converter import dead_weights
from components.tflite_converter.conversion_error import ConversionError
from components.tflite_converter.executor import convert
from components.tflite_converter.params import ConvertOptions

layers = tf_keras.layers


def saved(folder: Path, kernel: float = 0.5, bias: float = 0.5) -> str:
    """A model in which one weight of `first` and one bias of `last` have these values."""
    x = layers.Input((4,), name="x")
    y = layers.Dense(3, name="last")(layers.Dense(4, activation="relu", name="first")(x))
    model = tf_keras.Model(x, y)
    for name, index, value in (("first", 0, kernel), ("last", 1, bias)):
        weights = model.get_layer(name).get_weights()
        weights[index].flat[1] = value
        model.get_layer(name).set_weights(weights)
    model_files.save_serving(model, str(folder), ["x"])
    return str(folder)


def refuse(saved_model: str) -> None:
    loaded = tf.saved_model.load(saved_model)  # holds the variables
    dead_weights.refuse(loaded.signatures["serving_default"])


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"kernel": np.nan}, "1 of 16 in first/kernel;"),
        ({"bias": np.inf}, "1 of 3 in last/bias;"),
        ({"kernel": -np.inf, "bias": np.nan}, "1 of 16 in first/kernel, 1 of 3 in last/bias;"),
    ],
)
def test_a_model_with_dead_weights_is_not_converted(
    tmp_path: Path, values: dict[str, float], named: str
) -> None:
    with pytest.raises(
        ConversionError, match=f"are NaN or infinite: {named} the training before it diverged"
    ):
        refuse(saved(tmp_path, **values))


def test_a_model_without_dead_weights_is_converted(tmp_path: Path) -> None:
    refuse(saved(tmp_path))


@pytest.mark.parametrize("quantization", ["float32", "float16", "dynamic"])
@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"kernel": np.nan}, r"1 of layer first \(16 weights\)"),
        ({"bias": np.nan}, r"1 of layer last \(12 weights\)"),
    ],
)
def test_a_file_with_dead_weights_is_refused_by_its_layer(
    tmp_path: Path, quantization: str, values: dict[str, float], named: str
) -> None:
    content = convert(
        saved(tmp_path / "saved", **values), ConvertOptions(quantization=quantization), False, None
    )
    path = tmp_path / "file.tflite"
    path.write_bytes(content)
    with pytest.raises(
        LiteRTError, match=f"has weights that are NaN or infinite: {named}; a training diverged"
    ):
        LiteRTModel(str(path))


def test_the_layers_of_a_file_without_dead_weights_have_none(tmp_path: Path) -> None:
    content = convert(saved(tmp_path), ConvertOptions(quantization="float32"), False, None)
    assert [kernel.not_finite for kernel in tflite_file.parse(content).kernels] == [0, 0]
