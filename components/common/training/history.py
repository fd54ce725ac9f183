"""What a training measured, epoch by epoch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from components.common.base import json_file

HISTORY_FILE = "history.json"


class History(dict[str, list[float]]):
    """Metric → its value after each epoch; names of those on the eval split begin with `val_`.

    Attributes:
        steps: Steps that the optimizer took.
        kept: Index of the epoch whose weights the model has now: the last one, or the best one if early
            stopping took that.
        learning_rates: After each epoch: what the next step would take.
    """

    def __init__(
        self,
        curves: Mapping[str, Sequence[float]],
        steps: int,
        kept: int,
        learning_rates: Sequence[float],
    ):
        super().__init__({name: [float(value) for value in values] for name, values in curves.items()})
        self.steps = steps
        self.kept = kept
        self.learning_rates = list(learning_rates)

    def facts(self) -> dict[str, int | float]:
        """Epochs and steps that were trained, the epoch that was kept (from 1), and its metrics."""
        return {
            "trained_epochs": len(self["loss"]),
            "trained_steps": self.steps,
            "kept_epoch": self.kept + 1,
            **{f"final_{name}": values[self.kept] for name, values in self.items()},
        }

    def write(self, uri: str) -> None:
        """Writes history.json into an artifact's folder: metrics and learning rate of each epoch, from 1."""
        epochs = [
            {
                **{name: values[index] for name, values in self.items()},
                "learning_rate": learning_rate,
                "epoch": index + 1,
            }
            for index, learning_rate in enumerate(self.learning_rates)
        ]
        json_file.write(os.path.join(uri, HISTORY_FILE), {"epochs": epochs, "kept_epoch": self.kept + 1})
