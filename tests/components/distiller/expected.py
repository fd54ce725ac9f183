"""What NumPy says of the losses, and small models to compare."""

from __future__ import annotations

from typing import Any

import numpy as np
import tf_keras

layers = tf_keras.layers

TEACHER = np.array([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]])
STUDENT = np.array([[0.3, 0.1, -0.4], [1.0, 0.0, -1.0]])


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def logit(probabilities: np.ndarray) -> np.ndarray:
    return np.log(probabilities) - np.log1p(-probabilities)


def cross_entropy(teacher: np.ndarray, student: np.ndarray, temperature: float) -> float:
    softened = softmax(teacher / temperature) * np.log(softmax(student / temperature))
    return float(-softened.sum(axis=-1).mean() * temperature**2)


def binary_cross_entropy(teacher: np.ndarray, student: np.ndarray, temperature: float) -> float:
    p, q = sigmoid(teacher / temperature), sigmoid(student / temperature)
    return float(-(p * np.log(q) + (1 - p) * np.log(1 - q)).mean() * temperature**2)


def unexplained(teacher: np.ndarray, student: np.ndarray, variance: float) -> float:
    return float(((teacher - student) ** 2).mean() / variance)


def variance(features: np.ndarray) -> float:
    """Around each channel's mean, averaged over channels."""
    return float(features.reshape(-1, features.shape[-1]).astype(np.float64).var(axis=0).mean())


def model_of(*head: Any, name: str = "m", size: int = 4) -> tf_keras.Model:
    return tf_keras.Sequential([layers.Input((size,), name="x"), *head], name=name)
