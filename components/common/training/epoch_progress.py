"""Reports of how a training goes: epoch, loss, metric, and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tf_keras

from components.common.base import progress
from components.common.base.progress import Kind
from components.common.training.error import TrainingError

_REPORTS_PER_EPOCH = 20


class EpochProgress(tf_keras.callbacks.Callback):
    """Reports epochs with their loss and first metric, and stops a training whose loss is not a number."""

    def __init__(
        self,
        epochs: int,
        passes: float | None = None,
        batches_have_logs: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Nothing has been trained yet.

        Args:
            epochs: How many there will be, the last one perhaps not whole.
            passes: The same with the last one's share, by which the time that is left is estimated.
            batches_have_logs: Whether the results of a batch are known when it ends.
            clock: Seconds since some moment.
        """
        super().__init__()
        self._epochs = epochs
        self._passes = passes or epochs
        self._clock = clock
        self._epoch = 0
        self._began = 0.0
        self._took: list[float] = []
        # Keras gives batches' figures as they are computed by workers only to callbacks that say so.
        self._supports_tf_logs = not batches_have_logs
        self._batches_have_logs = batches_have_logs

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch + 1
        self._began = self._clock()
        progress.report(self._name(), left=self._left(0.0))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        steps = self.params.get("steps") or 0
        if steps and (batch + 1) % max(1, steps // _REPORTS_PER_EPOCH) == 0:
            share = (batch + 1) / steps
            text = f"{self._name()}, {int(100 * share)} %"
            figures = _figures(logs or {}) if self._batches_have_logs else ""
            progress.report(text, left=self._left(share), figures=figures)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is not None and not np.isfinite(loss):
            raise TrainingError(
                f"the training loss became {loss} in epoch {epoch + 1}; lower the learning rate, or look "
                "for features that are not scaled"
            )
        self._took.append(self._clock() - self._began)
        last = self._epoch == self._epochs
        progress.report(
            self._name(),
            Kind.LAST_EPOCH if last else Kind.EPOCH,
            None if last else self._left(1.0),
            _figures(logs or {}),
        )

    def _name(self) -> str:
        return f"epoch {self._epoch}/{self._epochs}"

    def _left(self, share: float) -> float | None:
        """Seconds until the end, after a share of the current epoch; None until an epoch has ended."""
        if not self._took:
            return None
        # The first one has to trace the model's functions, too.
        known = self._took[1:] or self._took
        return max(0.0, self._passes - (self._epoch - 1 + share)) * sum(known) / len(known)


def _figures(logs: Mapping[str, Any]) -> str:
    """The loss, and the first metric that is not the loss of an output, each with its value on eval if there is one."""
    own = [name for name in logs if not name.startswith("val_")]
    metrics = [name for name in own if name != "loss" and not name.endswith("_loss")]
    return ", ".join(_figure(name, logs) for name in ["loss", *metrics[:1]] if name in logs)


def _figure(name: str, logs: Mapping[str, Any]) -> str:
    text = f"{name} {float(logs[name]):.4g}"
    evaluated = logs.get(f"val_{name}")
    return text if evaluated is None else f"{text} (eval {float(evaluated):.4g})"
