"""Models in which several branches meet: they convert, and the file computes what the Keras model does.

TFMOT 0.8 puts the inputs of a Concatenate into another order, and takes away their fake quantization:
https://github.com/tensorflow/model-optimization/issues/1053 and /622.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from components.common.base.calibration import Calibration
from components.common.models import model_files
from components.common.tflite import tflite_file
from components.common.tflite.litert import LiteRTModel
from components.common.tfmot.calibration import calibrate
from components.common.tfmot.ranges import ranges_of
from components.quantization_aware_trainer.executor import prepare, quantize
from components.tflite_converter.executor import convert
from components.tflite_converter.params import ConvertOptions

layers = tf_keras.layers
FEATURES = (3 * np.random.default_rng(0).normal(size=(60, 8, 8, 3))).astype(np.float32)


def normed(x: Any, filters: int, size: int = 3, strides: int = 1) -> Any:
    """A convolution, BatchNormalization and ReLU."""
    x = layers.Conv2D(filters, size, strides, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization()(x))


def conv(x: Any, filters: int, activation: str = "linear") -> Any:
    return layers.Conv2D(filters, 3, padding="same", activation=activation)(x)


def average(x: Any) -> Any:
    return layers.AveragePooling2D(3, 1, "same")(x)


def largest(x: Any) -> Any:
    return layers.MaxPooling2D(3, 1, "same")(x)


def meet(*branches: Any) -> Any:
    return layers.Concatenate()(list(branches))


def pooling_beside_a_conv_with_relu(image: Any) -> Any:
    x = conv(image, 4, "relu")
    return meet(average(x), x)


def pooling_of_the_model_input(image: Any) -> Any:
    return meet(average(image), image)


def inception_block(image: Any) -> Any:
    x = normed(image, 4)
    return meet(normed(x, 3, 1), normed(x, 3, 3), normed(average(x), 3, 1), largest(x))


def concatenation_of_concatenations(image: Any) -> Any:
    x = normed(image, 4)
    return meet(meet(normed(x, 3, 1), normed(x, 3)), average(x))


def dense_block(image: Any) -> Any:
    x = normed(image, 4)
    x = meet(x, normed(x, 3))
    return meet(x, normed(x, 3))


def residual_sum_beside_its_input(image: Any) -> Any:
    x = conv(image, 4)
    return meet(layers.ReLU()(layers.Add()([x, conv(x, 4)])), x)


def pooling_of_a_sum(image: Any) -> Any:
    x = layers.Add()([conv(image, 4), conv(image, 4)])
    return meet(x, average(x))


def pooling_and_input_added(image: Any) -> Any:
    x = conv(image, 4)
    return layers.Add()([average(x), x])


def seven_branches(image: Any) -> Any:
    x = normed(image, 4)
    return meet(*(normed(x, 2, 1) for _ in range(7)))


def upsampling_beside_a_skip(image: Any) -> Any:
    x = normed(image, 4)
    return meet(layers.UpSampling2D()(normed(x, 4, strides=2)), x)


def two_poolings_of_everything(image: Any) -> Any:
    x = normed(image, 4)
    return meet(layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x))


def sigmoid_beside_linear(image: Any) -> Any:
    x = layers.Flatten()(image)
    return meet(layers.Dense(5, activation="sigmoid")(x), layers.Dense(3)(x))


STRUCTURES: list[Callable[[Any], Any]] = [
    pooling_beside_a_conv_with_relu,
    pooling_of_the_model_input,
    inception_block,
    concatenation_of_concatenations,
    dense_block,
    residual_sum_beside_its_input,
    pooling_of_a_sum,
    pooling_and_input_added,
    seven_branches,
    upsampling_beside_a_skip,
    two_poolings_of_everything,
    sigmoid_beside_linear,
]


def build(structure: Callable[[Any], Any]) -> tf_keras.Model:
    """A model of the structure, whose branches have different ranges."""
    tf_keras.utils.set_random_seed(3)
    image = layers.Input((8, 8, 3), name="x")
    model = tf_keras.Model(image, layers.Dense(3, name="d")(layers.Flatten()(structure(image))))
    generator = np.random.default_rng(5)
    for weight in model.weights:
        if "moving_variance" in weight.name or "gamma" in weight.name:
            weight.assign(generator.uniform(0.5, 2, weight.shape))
        elif weight.name.split("/")[-1] in ("moving_mean:0", "beta:0", "bias:0"):
            weight.assign(generator.normal(size=weight.shape) / 3)
    return model


@pytest.mark.parametrize(
    "structure", STRUCTURES, ids=lambda structure: structure.__name__.replace("_", " ")
)
def test_branches_that_meet_have_one_scale(structure: Callable[[Any], Any], tmp_path: Path) -> None:
    model = build(structure)
    in_float = model(FEATURES, training=False).numpy()
    aware = quantize(prepare(model))
    calibrate(aware, {"x": FEATURES}, Calibration())
    trained = aware(FEATURES, training=False).numpy()
    model_files.save_serving(aware, str(tmp_path / "saved"), ["x"])
    path = tmp_path / "file.tflite"
    path.write_bytes(convert(str(tmp_path / "saved"), ConvertOptions(quantization="int8"), True, None))
    file = LiteRTModel(str(path))
    deployed = np.array([next(iter(file.predict({"x": example}).values())) for example in FEATURES])

    low, high = next(found.read() for found in ranges_of(aware) if found.layer == "quant_d")
    step = (high - low) / 255
    assert np.abs(trained - in_float).max() < 5 * step
    # Where kernels of LiteRT round a half the other way, later layers add up some of that.
    assert np.abs(deployed - trained).max() < 5 * step
    assert np.mean(np.abs(deployed - trained)) < 0.8 * step
    operators = tflite_file.read(path).operator_counts
    # Only the input: no branch is quantized again before it meets another; sigmoid has a scale of its own.
    assert operators["QUANTIZE"] == (1 if structure is not sigmoid_beside_linear else 2)
