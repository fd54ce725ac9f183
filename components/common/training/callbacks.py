"""Callbacks that every training has."""

from __future__ import annotations

from typing import Any

import tf_keras

from components.common.base.step_options import EarlyStopping
from components.common.training.learning_rate import next_learning_rate


class StepCounter(tf_keras.callbacks.Callback):
    """Ends training after a number of steps, also within an epoch."""

    def __init__(self, total: int):
        super().__init__()
        self.taken = 0
        self._total = total
        self._before = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._before = self.taken

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.taken = self._before + batch + 1
        if self.taken >= self._total:
            self.model.stop_training = True


class LearningCurves(tf_keras.callbacks.TensorBoard):
    """Writes the metrics of each epoch, and its learning rate: Keras does so only if it has a schedule."""

    def __init__(self, log_dir: str):
        super().__init__(log_dir, write_graph=False)
        self.learning_rates: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        rate = next_learning_rate(self.model.optimizer)
        self.learning_rates.append(rate)
        super().on_epoch_end(epoch, {**(logs or {}), "learning_rate": rate})


def early_stopping(asked: EarlyStopping, first_epoch_to_stop: int) -> tf_keras.callbacks.EarlyStopping:
    """The callback that an option asks for.

    Args:
        asked: The option.
        first_epoch_to_stop: Index of the first epoch to be compared with later ones.
    """
    return tf_keras.callbacks.EarlyStopping(
        monitor=asked.monitor,
        min_delta=asked.min_delta,
        patience=asked.patience,
        mode="max" if asked.ascending() else "min",
        restore_best_weights=asked.restore_best,
        start_from_epoch=first_epoch_to_stop,
    )
