"""Examples in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.common.base.layer_names import plain_name
from components.common.data.class_weights import ClassWeights
from components.common.data.column import Column, Values
from components.common.data.model_inputs import ExamplesError

# Labels of one output, or output → its labels.
Labels = Values | dict[str, Values]


@dataclass(frozen=True)
class Arrays:
    """Examples in memory, or in files that are read a batch at a time.

    Attributes:
        features: Feature → array of shape (examples, …) as the model's input of that name takes it.
        labels: Array of shape (examples,) or (examples, width); of a string label, indices of classes. Of a
            model with several outputs, output → such an array; empty if the examples have no labels.
        class_weights: How much the examples of each class count in training; None if all count alike.
    """

    features: dict[str, Values]
    labels: Labels
    class_weights: ClassWeights | None = None

    def __len__(self) -> int:
        return len(next(iter(self.features.values())))

    def nbytes(self) -> int:
        """Bytes of the features."""
        return sum(values.nbytes for values in self.features.values())

    def in_files(self) -> bool:
        """Whether some values are not in memory."""
        return any(isinstance(values, Column) for values in self.features.values())

    def read(self) -> Arrays:
        """The same examples, all in memory."""
        labels: Labels
        if isinstance(self.labels, dict):
            labels = {name: np.asarray(values) for name, values in self.labels.items()}
        else:
            labels = np.asarray(self.labels)
        return Arrays(dict(self.feature_arrays()), labels, self.class_weights)

    def feature_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The features, in memory."""
        return {name: np.asarray(values) for name, values in self.features.items()}

    def take(self, indices: Sequence[int] | npt.NDArray[Any]) -> Arrays:
        """The examples at `indices`."""
        labels = self.labels
        taken: Labels = (
            {n: v[indices] for n, v in labels.items()} if isinstance(labels, dict) else labels[indices]
        )
        features: dict[str, Values] = {n: v[indices] for n, v in self.features.items()}
        return Arrays(features, taken, self.class_weights)

    def draw(self, count: int, seed: int) -> Arrays:
        """At most a number of examples, drawn without replacement: the same ones for the same seed, in their order."""
        chosen = np.random.default_rng(seed).choice(len(self), size=min(count, len(self)), replace=False)
        return self.take(np.sort(chosen))

    def labels_of(self, outputs: Sequence[str]) -> Values | list[Values]:
        """Labels as Keras takes them: one array, or a list in the order of a model's outputs.

        Args:
            outputs: Their names; TFMOT's wrappers may have renamed them.

        Raises:
            ExamplesError: If an output has no label.
        """
        if not isinstance(self.labels, dict):
            return self.labels
        names = [plain_name(output) for output in outputs]
        refuse_other_outputs(names, self.labels)
        return [self.labels[name] for name in names]

    def renamed(self, labels: Mapping[str, Values]) -> dict[str, Values]:
        """Labels of a model's outputs by the names that they have here."""
        return {plain_name(output): values for output, values in labels.items()}

    def weights(self) -> npt.NDArray[Any] | None:
        """How much each example counts in training, (examples,); None if all count alike."""
        if self.class_weights is None or isinstance(self.labels, dict):  # which `Examples` refuses together
            return None
        # One value for each class becomes the class.
        labels = np.asarray(self.labels)
        return self.class_weights.of(labels if labels.ndim == 1 else labels.argmax(axis=-1))


@dataclass(frozen=True)
class Division:
    """Training examples for a conversion.

    Attributes:
        calibration: Those to take ranges from.
        held_back: Others, to measure accuracy on; None if nothing is measured.
    """

    calibration: Arrays
    held_back: Arrays | None


def refuse_other_outputs(outputs: Sequence[str], labelled: Iterable[str]) -> None:
    """Raises an ExamplesError if a model has outputs without a label, or labels are of other outputs.

    Args:
        outputs: Names of the model's outputs.
        labelled: Those that have a label.
    """
    labelled = set(labelled)
    unknown, missing = sorted(labelled - set(outputs)), [name for name in outputs if name not in labelled]
    if unknown:
        raise ExamplesError(
            f"the model has no output {', '.join(map(repr, unknown))}; its outputs are {list(outputs)}: an "
            "output is named after its layer"
        )
    if missing:
        raise ExamplesError(
            f"output {', '.join(map(repr, missing))} of the model has no label; write data.label as output: "
            "feature, one for each output, or build the model without it"
        )


def content_digests(columns: Mapping[str, npt.NDArray[Any]]) -> list[bytes]:
    """A digest of each example's values.

    Args:
        columns: Feature → (examples, …).
    """
    values = [values for _, values in sorted(columns.items())]
    return [
        hashlib.blake2b(b"".join(map(_row_bytes, rows)), digest_size=16).digest()
        for rows in zip(*values, strict=True)
    ]


def _row_bytes(row: npt.ArrayLike) -> bytes:
    row = np.asarray(row)
    return repr(row.tolist()).encode() if row.dtype == object else row.tobytes()
