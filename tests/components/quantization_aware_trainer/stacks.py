"""Small stacks of layers, quantization-aware, and what their files hold and compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

from components.common.models import model_files
from components.common.tflite import tflite_file
from components.common.tflite.litert import LiteRTModel
from components.common.tflite.tflite_file import TFLiteFile
from components.tflite_converter.executor import convert
from components.tflite_converter.params import ConvertOptions

layers = tf_keras.layers


def layer_of(model: tf_keras.Model, name: str) -> tf_keras.layers.Layer:
    (layer,) = [layer for layer in model.layers if layer.name in (name, f"quant_{name}")]
    return layer


FEATURES = np.random.default_rng(0).normal(size=(40, 8, 8, 3)).astype(np.float32)


def stack(*parts: Any, shape: tuple[int, ...] = (8, 8, 3)) -> tf_keras.Model:
    return tf_keras.Sequential([layers.Input(shape), *parts, layers.Flatten(), layers.Dense(3, name="d")])


def stirred(model: tf_keras.Model) -> tf_keras.Model:
    """A model whose BatchNormalization does something."""
    generator = np.random.default_rng(5)
    for weight in model.weights:
        if "moving_variance" in weight.name or "gamma" in weight.name:
            weight.assign(generator.uniform(0.5, 2.0, weight.shape))
        elif "moving_mean" in weight.name or "beta" in weight.name:
            weight.assign(generator.normal(size=weight.shape) / 5)
    return model


def calibrated(model: tf_keras.Model) -> tf_keras.Model:
    """A quantization-aware model that has seen some examples."""
    for _ in range(3):
        model(FEATURES, training=True)
    return model


def int8_file(model: tf_keras.Model, folder: Path) -> tuple[TFLiteFile, np.ndarray]:
    """A quantization-aware model as a file, and what that predicts for FEATURES."""
    model_files.save_serving(model, str(folder / "saved"), ["x"])
    path = folder / "file.tflite"
    path.write_bytes(convert(str(folder / "saved"), ConvertOptions(quantization="int8"), True, None))
    file = LiteRTModel(str(path))
    outputs = [next(iter(file.predict({"x": example}).values())) for example in FEATURES]
    return tflite_file.read(path), np.array(outputs)


def output_step(model: tf_keras.Model) -> float:
    """Size of one int8 step of the output of `d`, as it was trained."""
    low, high = (
        next(float(w) for w in model.get_layer("quant_d").weights if f"post_activation_{end}" in w.name)
        for end in ("min", "max")
    )
    return (high - low) / 255


def dtypes(file: TFLiteFile) -> dict[str, str]:
    return {kernel.layer: kernel.dtype for kernel in file.kernels}


def norm(name: str = "bn") -> tf_keras.layers.Layer:
    return layers.BatchNormalization(name=name)
