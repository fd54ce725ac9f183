"""Examples from TFRecord files into splits, in one process."""

from __future__ import annotations

import bisect
import functools
import hashlib
import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tfx.dsl.io import fileio

from components.common.base.errors import ParedownError
from components.common.data.ahead import ahead

FILE = "data_tfrecord-00000-of-00001.gz"
_TOGETHER = 1024
# Bytes of records among which the next one is drawn.
_SHUFFLED_BYTES = 1 << 29
_SEED = 42
# Level of gzip: files are an eighth larger than at level 6, and are written three times faster.
_LEVEL = 1


class RecordError(ParedownError, ValueError):
    """A split has no file, or a record is not an example; the message names the file and the record."""


def write_split(files: Sequence[str], folder: str) -> None:
    """Writes the records of files in random order, the same one for the same files.

    Raises:
        RecordError: If a record is not a `tf.train.Example`.
    """
    with _writer(folder) as writer:
        for record, _ in _shuffled(files):
            writer.write(record)


def divide(files: Sequence[str], folders: Sequence[str], config: Any) -> None:
    """Divides the records of files by hash as TFX does, and writes them in random order.

    Args:
        files: The files.
        folders: One for each split of `config`, in its order.
        config: `example_gen_pb2.SplitConfig`: hash buckets of the splits, and the feature that is hashed if it is not
            the whole example.

    Raises:
        RecordError: If a record is not a `tf.train.Example`, or does not have the feature.
    """
    ends = list(itertools.accumulate(split.hash_buckets for split in config.splits))
    with ExitStack() as stack:
        writers = [stack.enter_context(_writer(folder)) for folder in folders]
        for record, example in _shuffled(files):
            digest = hashlib.sha256(_hashed(example, config)).hexdigest()
            writers[bisect.bisect(ends, int(digest, 16) % ends[-1])].write(record)


def _hashed(example: Any, config: Any) -> bytes:
    """The value that decides an example's split."""
    if not config.HasField("partition_feature_name"):
        return example.SerializeToString(deterministic=True)
    name, features = config.partition_feature_name, example.features.feature
    if name not in features or features[name].WhichOneof("kind") not in ("bytes_list", "int64_list"):
        raise RecordError(
            f"an example has no text and no whole number in {name!r}; name a feature that all examples have in "
            "data.splits.hash_by, or remove it"
        )
    return features[name].SerializeToString(deterministic=True)


def _writer(folder: str) -> Any:
    fileio.makedirs(folder)
    options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=_LEVEL)
    return tf.io.TFRecordWriter(os.path.join(folder, FILE), options)


def _shuffled(files: Sequence[str]) -> Iterator[tuple[bytes, Any]]:
    """Records, and the examples that they are."""
    records = functools.reduce(lambda all_, part: all_.concatenate(part), map(_of_file, files))
    first = next(records.take(1).as_numpy_iterator(), b"")
    held = max(_TOGETHER, _SHUFFLED_BYTES // max(1, len(first)))
    batches = records.shuffle(held, seed=_SEED).batch(_TOGETHER).as_numpy_iterator()
    for batch in ahead(batches):
        for record in batch:
            try:
                yield record, tf.train.Example.FromString(record)
            except DecodeError as error:
                where = ", ".join(map(os.path.basename, files))
                raise RecordError(f"a record of {where} is not a tf.train.Example ({error})") from error


def _of_file(path: str) -> tf.data.Dataset:
    return tf.data.TFRecordDataset(path, compression_type="GZIP" if path.endswith(".gz") else "")
