"""Files of one small model in every format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.shared import Shared

# 4·3·3·2 + 4 of the convolution, 4·4 of batch normalization, 64·3 + 3 of the dense layer.
PARAMETERS = 76 + 16 + 195


def build() -> Any:
    """A small model; every second weight of its dense layer is zero, the others have four values."""
    import tf_keras

    layers = tf_keras.layers
    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.Sequential(
        [
            layers.Input((6, 6, 2), name="image"),
            layers.Conv2D(4, 3, name="conv"),
            layers.BatchNormalization(name="bn"),
            layers.ReLU(name="relu"),
            layers.Flatten(name="flatten"),
            layers.Dense(3, name="scores"),
        ]
    )
    weights = np.zeros(64 * 3, np.float32)
    weights[::2] = np.tile([0.5, 1, -1, 2], 24)
    model.get_layer("scores").set_weights([weights.reshape(64, 3), np.array([1, 2, 3])])
    return model


def write(folder: Path) -> Path:
    import tensorflow as tf
    import tensorflow_model_optimization as tfmot

    from components.common.models import model_files

    model = build()
    model_files.save(model, str(folder / "trained"), ["image"], model_files.StepRecord())
    model.save(folder / "model.keras")
    rng = np.random.default_rng(0)
    for name in ("float32", "int8"):
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "trained" / "Format-Serving"))
        if name == "int8":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: (
                {"image": rng.random((1, 6, 6, 2), np.float32)} for _ in range(5)
            )
        (folder / f"{name}.tflite").write_bytes(converter.convert())
    tfmot.quantization.keras.quantize_model(build()).save(folder / "qat.h5")
    tfmot.sparsity.keras.prune_low_magnitude(build()).save(folder / "pruning.h5")
    return folder


@pytest.fixture(scope="session")
def models(shared: Shared) -> Path:
    """A folder: an artifact of a trained model, its files in other formats, TFLite files."""
    return shared.make("inspected", write)
