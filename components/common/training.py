"""Training that can be repeated, and that says how far it is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from components.common import progress
from components.common.examples import Arrays
from components.common.stock_layers import without_autograph


class TrainingError(Exception):
    """Training did not give a usable model."""


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and TensorFlow, and makes TensorFlow's operations deterministic."""
    tf_keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def compile_like(model: tf_keras.Model, reference: tf_keras.Model, learning_rate: float) -> None:
    """Compiles a model with another's loss, metrics and kind of optimizer, in a fresh state.

    Args:
        model: Has outputs as `reference` has.
        reference: Compiled.
        learning_rate: Of the new optimizer, in place of the reference's.
    """
    optimizer = type(reference.optimizer).from_config(
        {**reference.optimizer.get_config(), "learning_rate": learning_rate}
    )
    # The objects themselves: a loss or metric of the user's own need not be serializable.
    arguments = dict(reference._compile_config.config)
    for name, value in arguments.items():
        if isinstance(value, dict):  # TFMOT's wrappers rename the outputs that these go by
            ordered = [value.get(output) for output in reference.output_names]
            arguments[name] = ordered if len(ordered) > 1 else ordered[0]
    model.compile(**{**arguments, "optimizer": optimizer})
    if model.built and isinstance(optimizer, tf_keras.optimizers.Optimizer):
        optimizer.build(model.trainable_variables)


class _Progress(tf_keras.callbacks.Callback):
    """Reports epochs, and stops a training whose loss is no number."""

    def __init__(self, epochs: int):
        super().__init__()
        self._epochs = epochs
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch + 1
        progress.report(f"epoch {self._epoch}/{self._epochs}")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        steps = self.params.get("steps") or 0
        if steps and (batch + 1) % max(1, steps // 20) == 0:
            progress.report(f"epoch {self._epoch}/{self._epochs}, {100 * (batch + 1) // steps} %")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is not None and not np.isfinite(loss):
            raise TrainingError(
                f"the training loss became {loss} in epoch {epoch + 1}; lower the learning rate, or look "
                "for features that are not scaled"
            )


def fit(
    model: tf_keras.Model,
    train: Arrays,
    evaluation: Arrays,
    epochs: int,
    batch_size: int,
    log_dir: str,
    callbacks: Sequence[tf_keras.callbacks.Callback] = (),
) -> dict[str, list[float]]:
    """Trains a compiled model.

    Args:
        model: Takes the features in the order of `train.features`.
        train: Examples to train on; shuffled anew for each epoch, from the global seed.
        evaluation: Examples to measure after each epoch.
        epochs: Passes over `train`.
        batch_size: Examples per training step.
        log_dir: Gets the learning curves, in TensorBoard's format.
        callbacks: Further Keras callbacks.

    Returns:
        Metric → its value after each epoch; `val_` stands before those on `evaluation`.

    Raises:
        TrainingError: Where the loss is not finite.
    """
    model.train_step = without_autograph(model.train_step, model)
    model.test_step = without_autograph(model.test_step, model)
    os.makedirs(log_dir, exist_ok=True)
    curves = tf_keras.callbacks.TensorBoard(log_dir, write_graph=False)
    history = model.fit(
        list(train.features.values()),
        train.labels,
        validation_data=(list(evaluation.features.values()), evaluation.labels),
        epochs=epochs,
        batch_size=batch_size,
        verbose=0,
        callbacks=[*callbacks, curves, _Progress(epochs)],
    )
    return {name: [float(v) for v in values] for name, values in history.history.items()}
