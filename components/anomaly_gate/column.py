"""A feature of a batch of examples: flat values, and where those of each example are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf

Kind = Literal["bytes", "float", "int"]
Fingerprints = npt.NDArray[np.uint64]

# The fingerprint of an example that does not have the feature.
ABSENT = np.uint64(0)


@dataclass(frozen=True)
class Column:
    """A feature of a batch of examples.

    Attributes:
        kind: Kind of the values.
        values: Those of all examples, one example after another: bytes objects, float32 or int64.
        lengths: (examples,) number of values; -1 if an example does not have the feature.
        starts: (examples,) index in `values` of an example's first value.
    """

    kind: Kind
    values: npt.NDArray[Any]
    lengths: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """(examples,) whether an example has a value."""
        return self.lengths > 0

    def take(self, rows: npt.NDArray[np.int64]) -> Column:
        """The examples at `rows`."""
        return Column(self.kind, self.values, self.lengths[rows], self.starts[rows])

    def by_length(self) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[Any]]]:
        """The examples that have values, those with as many values together: indices, and (examples, values)."""
        for length in np.unique(self.lengths[self.present]):
            rows = np.flatnonzero(self.lengths == length)
            starts = self.starts[rows]
            if len(starts) * length == len(self.values) and (np.diff(starts) == length).all():
                yield rows, self.values.reshape(len(rows), length)  # without a copy
            else:
                yield rows, self.values[starts[:, np.newaxis] + np.arange(length)]

    def fingerprints(self, name: str = "") -> Fingerprints:
        """(examples,) fingerprints of all values, their number and kind, and the feature's name.

        Equal for equal values, whatever batch they are in; ABSENT if an example does not have the feature.
        """
        found = np.full(len(self), ABSENT)
        head = hashlib.blake2b(f"{len(name)} {name} {self.kind}".encode(), digest_size=8).digest()
        found[self.lengths == 0] = np.frombuffer(head, np.uint64)[0]
        for rows, values in self.by_length():
            parts = np.empty((len(rows), 3), np.uint64)
            parts[:, 0] = np.frombuffer(head, np.uint64)[0]
            parts[:, 1] = values.shape[1]
            parts[:, 2] = _fingerprints(values)
            found[rows] = _fingerprints(parts)
        return found

    def has_nan(self) -> bool:
        """Whether a value is not a number."""
        if self.kind != "float":
            return False
        return any(bool(np.isnan(values).any()) for _, values in self.by_length())

    def equals(self, other: Column) -> bool:
        """Whether each example has the same values in another feature; 1 and 1.0 are the same."""
        if (self.kind == "bytes") != (other.kind == "bytes") or not np.array_equal(
            self.lengths, other.lengths
        ):
            return False
        return all(
            np.array_equal(own, others)
            for (_, own), (_, others) in zip(self.by_length(), other.by_length(), strict=True)
        )

    def single(self, position: int) -> Column:
        """The values at a position alone; absent if there are fewer."""
        there = self.lengths > position
        return Column(
            self.kind, self.values, np.where(there, 1, -1), self.starts + np.where(there, position, 0)
        )


def columns(batch: pa.RecordBatch) -> dict[str, Column]:
    """Feature → its values, of a batch as tfx-bsl decodes it. A feature without values in any example is left out."""
    return {
        name: _column(array)
        for name, array in zip(batch.schema.names, batch.columns, strict=True)
        if not pa.types.is_null(array.type)
    }


def _column(array: Any) -> Column:
    offsets = array.offsets.to_numpy().astype(np.int64)
    lengths = np.diff(offsets)
    lengths[array.is_null().to_numpy(zero_copy_only=False)] = -1
    kind = array.type.value_type
    if pa.types.is_floating(kind):
        return Column("float", array.values.to_numpy() + np.float32(0), lengths, offsets[:-1])  # no -0.0
    if pa.types.is_integer(kind):
        return Column("int", array.values.to_numpy(), lengths, offsets[:-1])
    return Column("bytes", array.values.to_numpy(zero_copy_only=False), lengths, offsets[:-1])


def _fingerprints(values: npt.NDArray[Any]) -> Fingerprints:
    """(examples,) FarmHash of the values of each example, of (examples, values)."""
    made = tf.raw_ops.Fingerprint(data=values, method="farmhash64").numpy()
    return made.view(np.uint64)[:, 0]
