"""Examples that no file holds, for models whose data would take longer to write than to train on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from components.common.data.arrays import Arrays
from components.common.data.examples import Examples
from components.common.data.model_inputs import InputSpec


@dataclass(frozen=True)
class InMemory(Examples):
    """Examples of one feature.

    Attributes:
        splits: Split → its examples.
        feature: The feature.
    """

    splits: Mapping[str, Arrays] = field(default_factory=dict)
    feature: str = ""

    def load(self, split: str, inputs: Mapping[str, InputSpec]) -> Arrays:
        """The split as it is."""
        return self.splits[split]

    def open(self, split: str, inputs: Mapping[str, InputSpec]) -> Arrays:
        """The split as it is."""
        return self.splits[split]

    def feature_spec(self) -> dict[str, Any]:
        """The names of the features; nothing is parsed."""
        return {self.feature: None, "label": None}

    def vocabulary(self) -> None:
        """None, as labels are numbers."""


def in_memory(feature: str, inputs: np.ndarray, labels: np.ndarray, train: int) -> InMemory:
    """The first `train` examples to train on, the others to judge by."""
    splits = {
        name: Arrays({feature: inputs[part]}, labels[part])
        for name, part in {"train": slice(0, train), "eval": slice(train, None)}.items()
    }
    return InMemory("", "", None, "label", splits=splits, feature=feature)
