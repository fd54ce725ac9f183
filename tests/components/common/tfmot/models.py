"""Small quantization-aware models."""

from __future__ import annotations

from typing import Any

import numpy as np
import tf_keras

from components.quantization_aware_trainer.executor import prepare, quantize

layers = tf_keras.layers


def aware(*parts: Any, shape: tuple[int, ...] = (8, 8, 3), seed: int = 2) -> tf_keras.Model:
    """A Sequential model, made quantization-aware and not calibrated."""
    tf_keras.utils.set_random_seed(seed)
    return quantize(prepare(tf_keras.Sequential([layers.Input(shape, name="x"), *parts])))


def images(count: int = 40, scale: float = 30.0, seed: int = 0) -> dict[str, np.ndarray]:
    """Features of a number of random images, far beyond ±6."""
    values = np.random.default_rng(seed).normal(size=(count, 8, 8, 3)) * scale
    return {"x": values.astype(np.float32)}
