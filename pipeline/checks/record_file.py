"""The records of a TFRecord file, with their checksums. Imports no TensorFlow.

The format: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from collections.abc import Iterator

import google_crc32c

from components.common.base import size_bounds

# A record has its length and the length's checksum before it, and its own checksum after it.
_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_LENGTH = 8
_TOGETHER = 2**20  # bytes

# Written in Python, the checksum would take longer than all else.
VERIFIES = google_crc32c.implementation == "c"


class BadRecord(ValueError):
    """A record is cut off, or its checksum is wrong. TensorFlow says which one."""


def records(path: str) -> Iterator[bytes]:
    """Reads a file, and checks lengths before it reads as much as they say.

    TensorFlow reads a gzip file that was cut off between two records as a shorter one, and reserves as much memory as
    a record says.

    Yields:
        The records. Checksums are looked at if `VERIFIES`.

    Raises:
        BadRecord: After the last record before one that is cut off or damaged.
        ValueError: If a gzip file is not whole, or records are longer than a file of its size can have.
    """
    stored, compressed = os.path.getsize(path), path.endswith(".gz")
    most = size_bounds.most(stored) if compressed else stored
    unpacked, damaged, checksum_of = 0, False, google_crc32c.value
    try:
        with gzip.open(path) if compressed else open(path, "rb") as file:
            buffer, at = b"", 0
            while True:
                if len(buffer) - at < _HEADER.size:
                    buffer, at = buffer[at:] + file.read(_TOGETHER), 0
                    if len(buffer) < _HEADER.size:
                        break
                length, checksum = _HEADER.unpack_from(buffer, at)
                size = _HEADER.size + length + _FOOTER.size
                unpacked += size
                if unpacked > most:
                    if not compressed:
                        raise BadRecord(f"record of {length:,} bytes is cut off")
                    raise ValueError(size_bounds.excess(stored, unpacked))
                if len(buffer) - at < size:
                    buffer, at = buffer[at:] + file.read(max(_TOGETHER, size)), 0
                    if len(buffer) < size:
                        break
                begin, end = at + _HEADER.size, at + _HEADER.size + length
                record = buffer[begin:end]
                if VERIFIES and not damaged:
                    damaged = (
                        _masked(checksum_of(buffer[at : at + _LENGTH])) != checksum
                        or _masked(checksum_of(record)) != _FOOTER.unpack_from(buffer, end)[0]
                    )
                if not damaged:
                    yield record
                at += size
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"its gzip stream is not whole ({error})") from error
    if damaged or at < len(buffer):
        raise BadRecord("record is cut off, or its checksum is wrong")


def _masked(checksum: int) -> int:
    """The checksum as the file has it."""
    return (((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & 0xFFFFFFFF
