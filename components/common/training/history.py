"""Figures of a training, epoch by epoch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from components.common.base import json_file
from components.common.base.federated_cost import FederatedCost

HISTORY_FILE = "history.json"


class History(dict[str, list[float]]):
    """Metric → its value after each epoch; names of those on the eval split begin with `val_`.

    Attributes:
        steps: Steps that the optimizer took.
        kept: Index of the epoch whose weights the model has now: the last one, or the best one if early
            stopping took that; −1 if it has those from before training.
        start: Metric → its value before training; empty if that was not measured.
        federated: What the federated steps of the chain cost so far; None if clients did not train.
        figures: Further facts of the training.
        learning_rates: After each epoch: what the next step would take.
    """

    def __init__(
        self,
        curves: Mapping[str, Sequence[float]],
        steps: int,
        kept: int,
        learning_rates: Sequence[float],
        start: Mapping[str, float] | None = None,
        federated: FederatedCost | None = None,
        figures: Mapping[str, int | float | str] | None = None,
    ):
        super().__init__({name: [float(value) for value in values] for name, values in curves.items()})
        self.steps = steps
        self.kept = kept
        self.learning_rates = list(learning_rates)
        self.start = dict(start or {})
        self.federated = federated
        self.figures = dict(figures or {})

    def facts(self) -> dict[str, int | float | str]:
        """Epochs and steps that were trained, the epoch that was kept (from 1, or 0), and its metrics."""
        kept = {name: values[self.kept] for name, values in self.items()} if self.kept >= 0 else self.start
        return {
            "trained_epochs": len(self["loss"]),
            "trained_steps": self.steps,
            "kept_epoch": self.kept + 1,
            **{f"final_{name}": value for name, value in kept.items()},
            **self.figures,
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
