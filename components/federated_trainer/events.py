"""Learning curves of a federated training as TensorBoard reads them."""

from __future__ import annotations

import os

import tensorflow as tf

from components.common.training.history import History


def write(curves: History, log_dir: str) -> None:
    """Writes the curves, a step for each round."""
    for part in ("train", "validation"):
        with tf.summary.create_file_writer(os.path.join(log_dir, part)).as_default():
            for name, values in curves.items():
                if name.startswith("val_") == (part == "validation"):
                    for number, value in enumerate(values):
                        tf.summary.scalar(f"epoch_{name.removeprefix('val_')}", value, step=number)
