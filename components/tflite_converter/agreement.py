"""How far a TFLite file's predictions are from those of the model that it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from components.common.data.arrays import Arrays
from components.common.tflite.litert import LiteRTModel


@dataclass(frozen=True)
class Agreement:
    """Differences of the outputs, in their own unit.

    Attributes:
        max_error: Greatest absolute difference of a value.
        mean_error: Mean absolute difference of all values.
        examples: Number of examples.
    """

    max_error: float
    mean_error: float
    examples: int


def measure(signature: Any, path: str, examples: Arrays) -> Agreement:
    """Predicts examples with both.

    Args:
        signature: Signature of the SavedModel that was converted, which is loaded.
        path: The TFLite file; run on LiteRT with its default delegate.
        examples: Real ones.

    Raises:
        LiteRTError: If the file does not load or run.
    """
    expected = signature(**{name: tf.constant(values) for name, values in examples.features.items()})
    model = LiteRTModel(path)
    rows = [
        model.predict({name: values[index] for name, values in examples.features.items()})
        for index in range(len(examples))
    ]
    differences = np.concatenate(
        [
            np.abs(np.stack([row[name] for row in rows]).reshape(-1) - np.reshape(values.numpy(), -1))
            for name, values in expected.items()
        ]
    ).astype(np.float64)
    return Agreement(float(differences.max()), float(differences.mean()), len(examples))
