"""What statistics do not say about a split's examples: classes, twins, and numbers to compare."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.anomaly_gate.leaks import COMPARED_POSITIONS, Pairings
from components.common.data.examples import Examples

_DIGEST_BYTES = 64
_SAMPLED = _DIGEST_BYTES // 4


@dataclass
class Numbers:
    """The values of a numeric feature, from the examples that have it.

    Attributes:
        width: Number of values in an example; None if examples differ.
        every: All values of vectors up to COMPARED_POSITIONS long.
        sampled: Some values of each example, chosen by the example's content, so that order does not matter.
    """

    width: int | None
    every: array[float] = field(default_factory=lambda: array("d"))
    sampled: array[float] = field(default_factory=lambda: array("d"))

    def columns(self) -> npt.NDArray[np.float64]:
        """The values to compare, (examples, positions), or (values, 1) for all positions together."""
        if self.width is not None and self.width <= COMPARED_POSITIONS:
            return np.asarray(self.every).reshape(-1, self.width)
        return np.asarray(self.sampled).reshape(-1, 1)


@dataclass
class Contents:
    """The examples of a split.

    Attributes:
        examples: Their number.
        twins: Digest of an example's features, without labels → number of examples that have it.
        lengths: Feature → number of values → number of examples with that many, among those that have the feature.
        numbers: Numeric feature → its values.
        labels: Label → value → number of examples with it; only for labels with one value per example.
        pairings: Label → the other features beside it.
    """

    examples: int = 0
    twins: Counter[bytes] = field(default_factory=Counter)
    lengths: dict[str, Counter[int]] = field(default_factory=dict)
    numbers: dict[str, Numbers] = field(default_factory=dict)
    labels: dict[str, Counter[Any]] = field(default_factory=dict)
    pairings: dict[str, Pairings] = field(default_factory=dict)

    def present(self, feature: str) -> int:
        """Examples that have a value of a feature."""
        return sum(count for length, count in self.lengths.get(feature, {}).items() if length)

    def twin_share(self) -> float:
        """Share of the examples that occur more than once."""
        return sum(count for count in self.twins.values() if count > 1) / self.examples


def read(examples: Examples, split: str, labels: Iterable[str]) -> Contents:
    """Reads a split of an `Examples` artifact.

    Args:
        examples: The artifact, before any transformation.
        split: Its name.
        labels: Features that are labels.
    """
    records = tf.data.TFRecordDataset(examples.files(split), compression_type="GZIP")
    return gather(records.as_numpy_iterator(), labels)


def gather(records: Iterable[bytes], labels: Iterable[str]) -> Contents:
    """The contents of serialized `tf.train.Example`s."""
    found, labels = Contents(), frozenset(labels)
    for record in records:
        values = {
            name: (kind, getattr(feature, kind).value)
            for name, feature in tf.train.Example.FromString(record).features.feature.items()
            if (kind := feature.WhichOneof("kind"))
        }
        digest = _digest(values, labels)
        found.examples += 1
        found.twins[digest[:16]] += 1
        positions = np.frombuffer(digest, np.uint32)
        for name, (kind, value) in values.items():
            found.lengths.setdefault(name, Counter())[len(value)] += 1
            if name in labels and len(value) == 1:
                found.labels.setdefault(name, Counter())[value[0]] += 1
            if kind != "bytes_list" and len(value):
                _add_numbers(found, name, value, positions)
        features = {name: value for name, (_, value) in values.items() if name not in labels and len(value)}
        for name in labels & values.keys():
            label = values[name][1]
            if len(label):
                pairings = found.pairings.setdefault(name, Pairings())
                is_copy = found.twins[digest[:16]] > 1
                pairings.add(label[0] if len(label) == 1 else tuple(label), features, is_copy)
    return found


def _digest(values: dict[str, tuple[str, Any]], labels: frozenset[str]) -> bytes:
    """Hash of an example's features by content: protocol buffers write features in any order."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for name, (kind, value) in sorted(values.items()):
        if name in labels:
            continue
        digest.update(f"{len(name)} {name} {kind} {len(value)}".encode())
        if kind == "bytes_list":
            for item in value:
                digest.update(str(len(item)).encode())
                digest.update(item)
        else:
            digest.update(array("d" if kind == "float_list" else "q", value).tobytes())
    return digest.digest()


def _add_numbers(found: Contents, name: str, value: Any, positions: npt.NDArray[np.uint32]) -> None:
    numbers = found.numbers.setdefault(name, Numbers(len(value)))
    if numbers.width != len(value):
        numbers.width = None
    if len(value) <= COMPARED_POSITIONS:
        numbers.every.extend(value)
        # One value of each example in case lengths differ: those of one example depend on each other.
        numbers.sampled.append(value[int(positions[0]) % len(value)])
    else:
        numbers.sampled.extend(value[int(position) % len(value)] for position in positions)
