"""Parsed examples in files: each split is decoded once, however many nodes of a run read it, a piece at a time.

A run makes a folder for it in its pipeline root, and removes the folder when it ends; a node without a run around it,
as on a cluster, has one of its own for as long as its process lives.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf

from components.common.data import shared_folder
from components.common.data.arrays import content_digests
from components.common.data.column import Column, Values
from components.common.data.model_inputs import ExamplesError

# Records are parsed in batches of this many, or this many bytes: a larger one only costs memory.
_PARSED_TOGETHER = 4096
_BYTES_TOGETHER = 1 << 24
_META, _ORDER = "columns.json", "order.npy"
_TEXTS = pa.schema([("text", pa.large_binary())])

FeatureSpec = Mapping[str, Any]


def columns(files: Sequence[str], spec: FeatureSpec, split: str) -> dict[str, Values]:
    """The features of a split, sorted by the content of its examples; text is in memory, numbers are in files.

    ExampleGen shuffles examples differently each time, so without sorting no training could be repeated. What
    counts is the parsed content: protocol buffers write the features of one example in any order.

    Args:
        files: TFRecords, compressed with gzip.
        spec: Feature → how tf.io parses it.
        split: Their name, for errors.

    Returns:
        Feature → array of shape (examples, …).

    Raises:
        ExamplesError: If the split is empty, an example does not fit the spec, or a feature has more values in one
            example than in another.
    """
    found = _Split(_folder(files) / key_of(files, spec))
    with _alone(found.folder):
        if not found.is_there():
            _decode(files, spec, split, found.folder)
    return found.read()


def _folder(files: Sequence[str]) -> Path:
    shared = shared_folder.of(files[0]) if files else None
    return shared or Path(_own().name)


@functools.cache
def _own() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="paredown-decoded-")


def key_of(files: Sequence[str], spec: FeatureSpec) -> str:
    """Differs if a file or the way to parse it does."""
    read = [
        [os.path.abspath(file), (found := os.stat(file)).st_size, found.st_mtime_ns, found.st_ino]
        for file in files
    ]
    parsed = {name: repr(spec[name]) for name in sorted(spec)}
    return hashlib.sha256(json.dumps([read, parsed]).encode()).hexdigest()[:32]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lets one process at a time in."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class _Split:
    """The folder of a decoded split.

    Attributes:
        folder: Has a file for each feature, the order of examples, and what these files are.
    """

    folder: Path

    def is_there(self) -> bool:
        return (self.folder / _META).exists()

    def read(self) -> dict[str, Values]:
        order = np.load(self.folder / _ORDER)
        found: dict[str, Values] = {}
        for name, meta in json.loads((self.folder / _META).read_text(encoding="utf-8")).items():
            path, shape = self.folder / meta["file"], (len(order), *meta["shape"])
            dtype = np.dtype(meta["dtype"])
            found[name] = (
                _texts(path, shape)[order] if dtype.hasobject else Column(str(path), dtype, shape, order)
            )
        return found


def _decode(files: Sequence[str], spec: FeatureSpec, split: str, folder: Path) -> None:
    """Writes a folder as `_Split` reads it; it is whole or not there."""
    beside = folder.with_suffix(".partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        digests: list[bytes] = []
        written = {name: _Writer(beside / f"{number}") for number, name in enumerate(sorted(spec))}
        for records in _batches(files):
            batch = {name: _dense(value, name) for name, value in _parsed(records, spec, split).items()}
            for name, values in batch.items():
                written[name].add(values, name)
            digests += content_digests(batch)
        if not digests:
            raise ExamplesError(f"split {split!r} has no examples")
        np.save(beside / _ORDER, _order(digests))
        meta = {name: writer.close() for name, writer in written.items()}
        (beside / _META).write_text(json.dumps(meta), encoding="utf-8")
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _batches(files: Sequence[str]) -> Iterator[npt.NDArray[Any]]:
    dataset = tf.data.TFRecordDataset(files, compression_type="GZIP")
    first = next(dataset.as_numpy_iterator(), b"")
    together = max(1, min(_PARSED_TOGETHER, _BYTES_TOGETHER // max(1, len(first))))
    return iter(dataset.batch(together).as_numpy_iterator())


class _Writer:
    """Appends values of a feature to a file: numbers as they are in memory, text as Arrow."""

    def __init__(self, path: Path):
        self._path = path
        self._shape: tuple[int, ...] | None = None
        self._dtype = np.dtype(object)
        self._file: Any = None

    def add(self, values: npt.NDArray[Any], name: str) -> None:
        if self._file is None:
            self._shape, self._dtype = values.shape[1:], values.dtype
            self._file = pa.ipc.new_file(self._path, _TEXTS) if self._is_text() else self._path.open("wb")
        if values.shape[1:] != self._shape:
            raise _ragged(name, np.array([self._shape[0] if self._shape else 1, values.shape[1]]))
        if self._is_text():
            self._file.write(pa.record_batch([pa.array(values.ravel(), pa.large_binary())], _TEXTS))
        else:
            self._file.write(np.ascontiguousarray(values).data)

    def close(self) -> dict[str, Any]:
        """Closes the file, which has values; returns what `_Split` reads it by."""
        self._file.close()
        return {"file": self._path.name, "dtype": self._dtype.str, "shape": self._shape}

    def _is_text(self) -> bool:
        return self._dtype.hasobject


def _texts(path: Path, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    with pa.memory_map(str(path)) as file:
        values = pa.ipc.open_file(file).read_all().column(0).to_numpy()
    return values.reshape(shape)


def _order(digests: list[bytes]) -> npt.NDArray[np.int64]:
    """Indices that sort examples by a digest of their values, so that files' order does not matter."""
    high, low = np.frombuffer(b"".join(digests), ">u8").reshape(-1, 2).T
    return np.lexsort((low, high)).astype(np.int64)


def _parsed(records: npt.NDArray[Any], spec: FeatureSpec, split: str) -> Mapping[str, Any]:
    try:
        return tf.io.parse_example(records, spec)
    except tf.errors.InvalidArgumentError as error:
        found = re.search(r"((?:Feature|Key): .*?)\.?(?: \[Op:|$)", error.message)
        raise ExamplesError(
            f"an example of split {split!r} is other than the schema, inferred from the train split, says "
            f"({found[1] if found else error.message}); fix or remove it: Paredown does not fill in what "
            "data.validation lets pass"
        ) from None


def _dense(value: Any, name: str) -> npt.NDArray[Any]:
    """Values of a batch as an array; of a feature without a fixed shape, as many in each example.

    Padding would pass for values: a missing label would be class 0.
    """
    if not isinstance(value, tf.sparse.SparseTensor):
        return value.numpy()
    counts = np.bincount(value.indices.numpy()[:, 0], minlength=int(value.dense_shape[0]))
    if len(set(counts.tolist())) > 1:
        raise _ragged(name, counts)
    return tf.sparse.to_dense(value).numpy()


def _ragged(name: str, counts: npt.NDArray[Any]) -> ExamplesError:
    return ExamplesError(
        f"feature {name!r} has {counts.min()} values in one example and {counts.max()} in another; give "
        "it one shape in preprocessing_fn: pad sequences, and fill in missing values"
    )
