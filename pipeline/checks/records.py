"""TFRecord files of tf.Example, read to see whether they are whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import tensorflow as tf
from google.protobuf.message import DecodeError

from components.common.base.errors import describe
from components.common.base.label import places
from components.common.base.near_names import nearest
from pipeline.checks import record_file
from pipeline.checks.record_sample import Sample
from pipeline.config.data_options import EVALUATED_SPLIT, Data
from pipeline.config.problem import Location, Problem
from pipeline.plan import data_files

# Records of all files that are looked at one by one; of each file at least the fewest. Of one label or image each,
# that takes a quarter of a second.
_LOOKED_AT = 4000
_FEWEST_LOOKED_AT = 20
_MOST_FAULTS = 3  # of a file
_TOGETHER = 1024
# Bytes of a file's records that are kept until their number is known; if they are more, the file is read again.
_KEPT = 64 * 2**20


@dataclass(frozen=True)
class Records:
    """The files of an input split.

    Attributes:
        at: Location of its pattern in the config.
        trained: Whether it is trained on, in whole or in part.
        count: Number of records; 0 if they were not read to the end.
        first: The first record; None if there is none.
    """

    at: Location
    trained: bool
    count: int
    first: tf.train.Example | None

    def features(self) -> dict[str, int]:
        """Feature → number of values in the first record."""
        features = self.first.features.feature.items() if self.first is not None else ()
        return {
            name: len(getattr(value, kind).value) if (kind := value.WhichOneof("kind")) else 0
            for name, value in features
        }


def read(data: Data, whole: bool) -> tuple[list[Records], Sample, list[Problem]]:
    """Reads the files of each split.

    Args:
        data: The section.
        whole: Whether to read them to their ends; if not, a damaged file is not a problem, because it is not read.

    Returns:
        The splits; a sample of the records of all, without any if the files are not read to their ends; and what is
        wrong with the files.
    """
    problems: list[Problem] = []
    found, sample = [], Sample()
    files = data_files.files(data)
    most = max(_FEWEST_LOOKED_AT, _LOOKED_AT // max(1, sum(map(len, files.values()))))
    for split, paths in files.items():
        at: Location = ("data", "splits", data_files.option_of(split))
        first, total = None, 0
        for path in paths:
            look = _Look(sample, os.path.relpath(path, data.path))
            try:
                count, example = read_through(str(path), whole, most, look)
            except (tf.errors.OpError, ValueError) as error:
                if whole:
                    message = f"{path} is damaged: {describe(error)}; fetch or write it again"
                    problems.append(Problem(message, at))
                continue
            if count == 0:
                message = f"{path} has no records; write some, or exclude it by the pattern"
                problems.append(Problem(message, at))
                continue
            first = first or example
            total += count
            problems += [Problem(fault, at) for fault in look.faults[:_MOST_FAULTS]]
        found.append(Records(at, split != EVALUATED_SPLIT, total if whole else 0, first))
    return found, sample, problems


class _Look:
    """Adds records of a file to a sample, until some of them have faults."""

    def __init__(self, sample: Sample, name: str):
        self.faults: list[str] = []
        self._sample = sample
        self._name = name
        self._over = False

    def __call__(self, index: int, record: bytes) -> None:
        if self._over:
            return
        where = f"{self._name}, record {index + 1}"
        try:
            example = tf.train.Example.FromString(record)
        except DecodeError as error:
            self.faults.append(f"{where} is not a tf.Example ({error}); write the file again")
            self._over = True
            return
        self.faults += self._sample.add(example, where)
        self._over = len(self.faults) >= _MOST_FAULTS


def check_labels(data: Data, missing: Mapping[str, str]) -> list[Problem]:
    """Refuses examples without a label.

    Args:
        data: The section.
        missing: As `Sample.missing` returns it.
    """
    return [
        Problem(
            f"{label!r} has {missing[label]}; remove these records: nothing can be learnt from an example without a "
            "label",
            ("data", "label", *within),
        )
        for within, label in places(data.label).items()
        if label in missing
    ]


def check_hashed(data: Data, first: tf.train.Example) -> list[Problem]:
    """Refuses to split examples by the hash of a feature that they do not have, or that TFX does not hash."""
    name = data.splits.hash_by
    if name is None:
        return []
    at: Location = ("data", "splits", "hash_by")
    known = sorted(first.features.feature)
    if name not in known:
        return [Problem(f"{name!r} is not a feature of the data{nearest(name, known)}; it has {known}", at)]
    if first.features.feature[name].WhichOneof("kind") in ("int64_list", "bytes_list"):
        return []
    message = f"{name!r} has neither integers nor text in the first record, which TFX hashes; name another"
    return [Problem(message, at)]


def read_through(
    path: str, whole: bool = True, most: int = 1, look: Callable[[int, bytes], None] | None = None
) -> tuple[int, tf.train.Example]:
    """Reads a TFRecord file to its end, or its first record only.

    Args:
        path: The file.
        whole: Whether to read it to its end.
        most: Number of records to look at.
        look: Called with the number of a record, from 0, and the record: all if they are few, else the first ones
            and some at equal distances; none if the file is not read to its end.

    Returns:
        The number of records read, and the first one (empty if there is none).

    Raises:
        tf.errors.OpError: If the file is truncated or a checksum is wrong.
        ValueError: If the gzip stream is cut off or damaged, or the first record is not a tf.Example.
    """
    read = record_file.records(path)
    if not whole:
        first = next(read, None)
        return int(first is not None), _example(first)
    kept: list[bytes] = []
    first, count, held = None, 0, 0
    try:
        for record in read:
            first = record if first is None else first
            count += 1
            held += len(record)
            if look is not None and held <= _KEPT:
                kept.append(record)
        if not record_file.VERIFIES:
            _read_by_tensorflow(path)
    except record_file.BadRecord:
        _read_by_tensorflow(path)
        raise
    example = _example(first)
    if look is not None:
        step = max(1, -(-count // most))
        for index, record in enumerate(kept if held <= _KEPT else record_file.records(path)):
            if index < most // 10 or index % step == 0:
                look(index, record)
    return count, example


def _example(record: bytes | None) -> tf.train.Example:
    example = tf.train.Example()
    try:
        example.ParseFromString(record or b"")
    except DecodeError as error:
        raise ValueError(f"its first record is not a tf.Example ({error})") from error
    return example


def _read_by_tensorflow(path: str) -> None:
    """Raises TensorFlow's error about a file that is damaged."""
    records = tf.data.TFRecordDataset(path, compression_type="GZIP" if path.endswith(".gz") else "")
    for _ in records.batch(_TOGETHER):
        pass
