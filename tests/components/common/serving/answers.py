"""Requests to a server of small files, and the interpreter's own answers to them."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.common.tflite.litert import LiteRTModel
from tests.components.common.serving.small_file import INPUTS, OUTPUTS, content

PREDICT = "/v1/models/mnist:predict"
IMAGES = np.random.default_rng(1).normal(size=(5, INPUTS)).astype(np.float32)
ROWS = IMAGES.tolist()


def expected(number: int) -> np.ndarray:
    """Predictions of a version, from the interpreter."""
    return LiteRTModel(content(number)).predict_each({"image": IMAGES})["probabilities"]


def same(found: Any, number: int) -> bool:
    """Whether predictions are the interpreter's, bit by bit."""
    return np.array_equal(np.array(found, np.float32).reshape(len(IMAGES), OUTPUTS), expected(number))
