"""Keeps the ranges of activations in order while a quantization-aware model trains."""

from __future__ import annotations

from typing import Any

import tf_keras

from components.common.tfmot.ranges import Range, ranges_of
from components.common.tfmot.shared_ranges import shared_ranges, unite


class RangeKeeper(tf_keras.callbacks.Callback):
    """Unites ranges that have to be equal after each batch, and freezes all of them after some batches.

    TFMOT moves each range in every batch that is trained on, by itself.
    """

    def __init__(self, freeze_after: int | None = None):
        """Configures it.

        Args:
            freeze_after: Steps after which ranges stay; None for never.
        """
        super().__init__()
        # With parameter servers Keras takes no callback that needs the results of a batch; this one does not.
        self._supports_tf_logs = True
        self._freeze_after = freeze_after
        self._taken = 0
        self._groups: list[list[Range]] = []
        self._frozen: list[tuple[Range, tuple[float, float]]] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._taken = 0
        self._groups = shared_ranges(self.model)
        self._frozen = []
        self._freeze_if_due()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._taken += 1
        for found, ends in self._frozen:
            found.set(*ends)
        if not self._frozen:
            unite(self._groups)
            self._freeze_if_due()

    def _freeze_if_due(self) -> None:
        if self._freeze_after is not None and self._taken >= self._freeze_after:
            self._frozen = [(found, found.read()) for found in ranges_of(self.model)]
