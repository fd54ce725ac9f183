"""Facts about a split's examples that statistics do not have: classes, duplicates, and numbers to compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tfx_bsl.public import tfxio

from components.anomaly_gate import column
from components.anomaly_gate.column import Column, Fingerprints
from components.anomaly_gate.leaks import COMPARED_POSITIONS, Pairings
from components.common.data.examples import Examples

_TOGETHER = 1024
_SAMPLED = 16
# The increment and the factors of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
# generators", 2014).
_INCREMENT, _FIRST, _SECOND = map(np.uint64, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


@dataclass
class Numbers:
    """The values of a numeric feature, from the examples that have it.

    Attributes:
        width: Number of values in an example; None if examples differ.
        every: All values of vectors up to COMPARED_POSITIONS long, in parts.
        sampled: Some values of each example, chosen by the example's content, so that order does not matter.
    """

    width: int | None
    every: list[npt.NDArray[Any]] = field(default_factory=list)
    sampled: list[npt.NDArray[Any]] = field(default_factory=list)

    def columns(self) -> npt.NDArray[np.float64]:
        """The values to compare, (examples, positions), or (values, 1) for all positions together."""
        if self.width is not None and self.width <= COMPARED_POSITIONS:
            return np.concatenate(self.every).astype(np.float64).reshape(-1, self.width)
        return self.samples()

    def samples(self) -> npt.NDArray[np.float64]:
        """The sampled values, (values, 1)."""
        return np.concatenate(self.sampled).astype(np.float64).reshape(-1, 1)

    def add(self, values: npt.NDArray[Any], drawn: Fingerprints) -> None:
        """Takes examples.

        Args:
            values: (examples, values), at least one of each.
            drawn: (examples, _SAMPLED) random numbers.
        """
        width = values.shape[1]
        if self.width != width:
            self.width = None
        # One value of each example in case lengths differ: those of one example depend on each other.
        draws = 1 if width <= COMPARED_POSITIONS else _SAMPLED
        chosen = (drawn[:, :draws] % np.uint64(width)).astype(np.int64)
        self.sampled.append(np.take_along_axis(values, chosen, axis=1).ravel())
        if width <= COMPARED_POSITIONS:
            self.every.append(values.flatten())  # a view keeps all features of the batch in memory


@dataclass
class Contents:
    """The examples of a split.

    Attributes:
        examples: Their number.
        twins: Distinct fingerprints of the features without labels, ascending.
        copies: Number of examples of each of them.
        lengths: Feature → number of values → number of examples with that many, among those that have the feature.
        numbers: Numeric feature → its values.
        labels: Label → value → number of examples with it; only for labels with one value per example.
        pairings: Label → the other features beside it.
    """

    examples: int = 0
    twins: Fingerprints = field(default_factory=lambda: np.empty(0, np.uint64))
    copies: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    lengths: dict[str, Counter[int]] = field(default_factory=dict)
    numbers: dict[str, Numbers] = field(default_factory=dict)
    labels: dict[str, Counter[Any]] = field(default_factory=dict)
    pairings: dict[str, Pairings] = field(default_factory=dict)

    def present(self, feature: str) -> int:
        """Examples that have a value of a feature."""
        return sum(count for length, count in self.lengths.get(feature, {}).items() if length)

    def twin_share(self) -> float:
        """Share of the examples that occur more than once."""
        return int(self.copies[self.copies > 1].sum()) / self.examples

    def twins_in(self, other: Contents) -> int:
        """Number of examples that have the same features as one of another split."""
        return int(self.copies[np.isin(self.twins, other.twins)].sum())


def read(examples: Examples, split: str, labels: Iterable[str]) -> Contents:
    """Reads a split of an `Examples` artifact.

    Args:
        examples: The artifact, before any transformation.
        split: Its name.
        labels: Features that are labels.
    """
    # Without a schema, so that features are found that train does not have.
    source = tfxio.TFExampleRecord(
        file_pattern=examples.files(split), telemetry_descriptors=["paredown", "anomaly_gate"]
    )
    options = tfxio.RecordBatchesOptions(batch_size=_TOGETHER, num_epochs=1, shuffle=False)
    return gather(source.RecordBatches(options), labels)


def gather(batches: Iterable[pa.RecordBatch], labels: Iterable[str]) -> Contents:
    """The contents of examples as tfx-bsl decodes them."""
    found, labels = Contents(), frozenset(labels)
    digests: list[Fingerprints] = []
    for batch in batches:
        columns = column.columns(batch)
        # A sum, as features come in any order, and one that no example of a batch has is not in it.
        digest = np.zeros(batch.num_rows, np.uint64)
        for name, values in columns.items():
            if name not in labels:
                digest += values.fingerprints(name)
        digests.append(digest)
        drawn = _random_numbers(digest)
        for name, values in columns.items():
            _count_lengths(found, name, values)
            if values.kind != "bytes":
                for rows, numbers in values.by_length():
                    made = found.numbers.setdefault(name, Numbers(numbers.shape[1]))
                    made.add(numbers, drawn[rows])
        features = {name: values for name, values in columns.items() if name not in labels}
        for name in labels & columns.keys():
            _add_label(found, name, columns[name], features)
        found.examples += batch.num_rows
    every = np.concatenate([np.empty(0, np.uint64), *digests])
    found.twins, first, found.copies = np.unique(every, return_index=True, return_counts=True)
    for pairings in found.pairings.values():
        pairings.finish(first)
    return found


def _random_numbers(seeds: Fingerprints) -> Fingerprints:
    """(examples, _SAMPLED) numbers that an example's content decides, by SplitMix64."""
    state = seeds[:, np.newaxis] + np.arange(1, _SAMPLED + 1, dtype=np.uint64) * _INCREMENT
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    return state ^ (state >> np.uint64(31))


def _count_lengths(found: Contents, name: str, values: Column) -> None:
    lengths, counts = np.unique(values.lengths[values.lengths >= 0], return_counts=True)
    counter = found.lengths.setdefault(name, Counter())
    counter.update(dict(zip(lengths.tolist(), counts.tolist(), strict=True)))


def _add_label(found: Contents, name: str, label: Column, features: dict[str, Column]) -> None:
    single = label.take(np.flatnonzero(label.lengths == 1))
    for _, values in single.by_length():
        classes, counts = np.unique(values, return_counts=True)
        counter = found.labels.setdefault(name, Counter())
        counter.update(dict(zip(classes.tolist(), counts.tolist(), strict=True)))
    rows = np.flatnonzero(label.present)
    if len(rows):
        pairings = found.pairings.setdefault(name, Pairings())
        taken = {feature: values.take(rows) for feature, values in features.items()}
        pairings.add(label.take(rows), taken, found.examples + rows)
