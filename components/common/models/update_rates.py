"""Layers that an optimizer moves less than others, or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tensorflow as tf
import tf_keras

from components.common.base.errors import ParedownError


class UpdateRatesError(ParedownError):
    """An optimizer whose updates cannot be scaled."""


class UpdateRates(tf_keras.callbacks.Callback):
    """Scales what the optimizer adds to some variables: for those it is as if its learning rate was scaled.

    The updates are scaled and not the gradients, of whose size Adam, for one, makes itself independent.
    "Discriminative fine-tuning" of Howard and Ruder, "Universal Language Model Fine-tuning" (2018),
    https://arxiv.org/abs/1801.06146.

    Args:
        rates: Variables → the share of each update that they get, 0 for none. The model has to be compiled
            since it was last trained: Keras looks at the optimizer once.
    """

    def __init__(self, rates: Iterable[tuple[Any, float]]):
        super().__init__()
        self._rates = {variable.ref(): rate for variable, rate in rates if rate != 1.0}
        self._undo: list[tuple[Any, str]] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Takes hold of the optimizer.

        Raises:
            UpdateRatesError: If it is one of Keras's old ones.
        """
        if not self._rates:
            return
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        if not isinstance(optimizer, tf_keras.optimizers.Optimizer):
            raise UpdateRatesError(
                f"{type(optimizer).__name__} is one of tf_keras.optimizers.legacy, which has one learning rate "
                "for all layers; compile with tf_keras.optimizers"
            )
        self._replace(optimizer, "update_step", self._scaled_step(optimizer))
        self._replace(optimizer, "_apply_weight_decay", self._scaled_decay(optimizer))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Leaves the optimizer as it was."""
        while self._undo:
            optimizer, name = self._undo.pop()
            delattr(optimizer, name)

    def _replace(self, optimizer: Any, name: str, function: Any) -> None:
        setattr(optimizer, name, function)
        self._undo.append((optimizer, name))

    def _scaled_step(self, optimizer: Any) -> Any:
        original = optimizer.update_step

        def update_step(gradient: Any, variable: Any) -> None:
            rate = self._rates.get(variable.ref(), 1.0)
            if rate == 0.0:
                return
            if rate == 1.0:
                original(gradient, variable)
                return
            before = tf.identity(variable)
            original(gradient, variable)
            variable.assign(before + rate * (variable - before))

        return update_step

    def _scaled_decay(self, optimizer: Any) -> Any:
        original = optimizer._apply_weight_decay

        def apply_weight_decay(variables: Iterable[Any]) -> None:
            decay = optimizer.weight_decay
            groups: dict[float, list[Any]] = {}
            for variable in variables:
                groups.setdefault(self._rates.get(variable.ref(), 1.0), []).append(variable)
            for rate, group in groups.items():
                if decay and rate:
                    optimizer.weight_decay = rate * decay
                    original(group)
            optimizer.weight_decay = decay

        return apply_weight_decay
