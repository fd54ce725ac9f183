"""TFRecord files of tf.Example, read to see whether they can be."""

from __future__ import annotations

import gzip
import zlib

import tensorflow as tf


def read_through(path: str, whole: bool = True) -> tuple[int, tf.train.Example]:
    """Reads a TFRecord file to its end, or its first record only.

    Returns:
        The number of records read, and the first one (empty where there is none).

    Raises:
        tf.errors.OpError: Where the file is truncated or a checksum is wrong.
        ValueError: Where the gzip stream is cut off or damaged, or the first record is no tf.Example.
    """
    compression = "GZIP" if path.endswith(".gz") else ""
    records = tf.data.TFRecordDataset(path, compression_type=compression)
    if not whole:
        records = records.take(1)
    if compression and whole:
        _refuse_truncated(path)
    count = int(records.batch(1024).reduce(0, lambda n, batch: n + tf.shape(batch)[0]).numpy())
    example = tf.train.Example()
    for record in records.take(1):
        try:
            example.ParseFromString(record.numpy())
        except Exception as error:  # protobuf's DecodeError, whose class differs between versions
            raise ValueError(f"its first record is no tf.Example ({error})") from error
    return count, example


def _refuse_truncated(path: str) -> None:
    """Raises a ValueError where a gzip file is not whole.

    TensorFlow takes one that was cut off between two records for a shorter one.
    """
    try:
        with gzip.open(path) as file:
            while file.read(2**20):
                pass
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"its gzip stream is not whole ({error})") from error
