"""Some of the records of TFRecord files, and what they say about the features of all. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.checks.table import EMPTY, FLOAT, INTEGER, TEXT

_KINDS = {"int64_list": INTEGER, "float_list": FLOAT, "bytes_list": TEXT, None: EMPTY}


@dataclass
class _Feature:
    """A feature in the checked records.

    Attributes:
        kind: The type of its values; EMPTY if no record has one.
        length: Number of values in the first record that has some.
        where: That record.
        other: Another number of values; None if all records have as many.
        where_other: The first record with that.
        present: Number of records that have values.
        gap: The first record without a value.
    """

    kind: str = EMPTY
    length: int = 0
    where: str = ""
    other: int | None = None
    where_other: str = ""
    present: int = 0
    gap: str = ""


@dataclass
class Sample:
    """The checked records, of all splits together.

    Attributes:
        looked_at: Their number.
        first: Place of the first of them.
    """

    looked_at: int = 0
    first: str = ""
    _features: dict[str, _Feature] = field(default_factory=dict)
    _mixed: set[str] = field(default_factory=set)

    def add(self, example: Any, where: str) -> Iterator[str]:
        """Adds a record.

        Args:
            example: A `tf.train.Example`.
            where: Its file and number, for messages.

        Yields:
            What keeps the record from being read like the others, once for a feature.
        """
        self.first = self.first or where
        given = {
            name: (kind, len(getattr(feature, kind).value))
            for name, feature in example.features.feature.items()
            if (kind := feature.WhichOneof("kind"))
        }
        for name, (written, length) in given.items():
            if not length:
                continue
            seen = self._features.setdefault(name, _Feature(gap=self.first if self.looked_at else ""))
            kind = _KINDS[written]
            if seen.kind == EMPTY:
                seen.kind, seen.length, seen.where = kind, length, where
            elif kind != seen.kind and name not in self._mixed:
                self._mixed.add(name)
                yield (
                    f"{where}: feature {name!r} holds {kind}, and {seen.kind} in {seen.where}; write all records "
                    f"with one type, e.g. {_LIST_OF[_wider(kind, seen.kind)]}"
                )
            elif length != seen.length and seen.other is None:
                seen.other, seen.where_other = length, where
            seen.present += 1
        self.looked_at += 1
        for name, seen in self._features.items():
            if not seen.gap and not given.get(name, ("", 0))[1]:
                seen.gap = where

    def lengths(self) -> dict[str, int]:
        """Feature → number of values in the first record that has some."""
        return {name: seen.length for name, seen in self._features.items()}

    def kinds(self) -> dict[str, str]:
        """Feature → the type of its values."""
        return {name: seen.kind for name, seen in self._features.items()}

    def missing(self) -> dict[str, str]:
        """Feature that some records have no value of → how many, in words."""
        return {
            name: f"no value in {self.looked_at - seen.present:,} of {self.looked_at:,} checked records, "
            f"first {seen.gap}"
            for name, seen in self._features.items()
            if seen.present < self.looked_at
        }

    def ragged(self) -> dict[str, str]:
        """Feature of which records have different numbers of values → which ones, in words."""
        return {
            name: f"{seen.length} values in {seen.where}, and {seen.other} in {seen.where_other}"
            for name, seen in self._features.items()
            if seen.other is not None
        }


_LIST_OF = {INTEGER: "int64_list", FLOAT: "float_list", TEXT: "bytes_list"}


def _wider(one: str, other: str) -> str:
    """The type that can hold values of both."""
    return TEXT if TEXT in (one, other) else FLOAT
