"""The seed of a training: with it, the same examples give the same weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras


def seed_of(options: Mapping[str, Any], run_seed: int | str) -> int:
    """The seed that a step's options write, or that of the run."""
    own = options.get("seed")
    return int(run_seed if own is None else own)


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and TensorFlow, and makes TensorFlow's operations deterministic."""
    tf_keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
