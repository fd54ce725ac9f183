"""The seed of a training: with it, the same examples give the same weights."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

from components.common.base.options import Options
from components.common.base.step_options import Training


def seed_of(options: Options, run_seed: int | str) -> int:
    """The seed of a training's options, or that of the run."""
    own = options.seed if isinstance(options, Training) else None
    return int(run_seed if own is None else own)


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and TensorFlow, and makes TensorFlow's operations deterministic."""
    tf_keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
