"""Variables of a checkpoint or SavedModel, read without TensorFlow.

The index is a table of LevelDB, https://github.com/google/leveldb/blob/main/doc/table_format.md; its entries and the
data beside it are described in tensorflow/core/protobuf/tensor_bundle.proto and core/util/tensor_bundle.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from components.common.models import saved_model_file
from components.common.models.model_format_error import ModelFormatError

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
_GRAPH = b"_CHECKPOINTABLE_OBJECT_GRAPH"
_HALF = "bfloat16"


@dataclass(frozen=True, eq=False)
class Variable:
    """A variable: its key in the checkpoint, its name as Keras gave it, type, shape and values.

    `values` is None if they are of a type that NumPy does not have.
    """

    key: str
    name: str
    dtype: str
    shape: tuple[int, ...]
    values: npt.NDArray[np.generic] | None


def variables(prefix: str | Path) -> list[Variable]:
    """The variables of a checkpoint by the prefix of its files, but those of optimizers and metrics.

    Raises:
        ModelFormatError: If it is damaged.
        OSError: If it cannot be read.
    """
    prefix = Path(prefix)
    try:
        return list(_variables(prefix))
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise ModelFormatError(
            f"has a damaged {prefix.name}.index ({error}); fetch or save it again"
        ) from error


def _variables(prefix: Path) -> Iterator[Variable]:
    entries = dict(_table(prefix.with_name(f"{prefix.name}.index").read_bytes()))
    header = saved_model_file.parse("BundleHeaderProto", entries.pop(b"", b""), f"{prefix.name}.index")
    shards = header.num_shards
    parsed = {
        key: saved_model_file.parse("BundleEntryProto", value, f"{prefix.name}.index")
        for key, value in entries.items()
    }
    names: dict[bytes, bytes] = {}
    if _GRAPH in parsed:
        (content,) = _texts(_read(prefix, parsed[_GRAPH], shards), 1)
        graph = saved_model_file.parse("TrackableObjectGraph", content, "object graph")
        names = {part.checkpoint_key: part.full_name for node in graph.nodes for part in node.attributes}
    for key, entry in parsed.items():
        if key == _GRAPH or key.startswith((b"optimizer/", b"keras_api/metrics/", b"save_counter")):
            continue
        if b"/.OPTIMIZER_SLOT/" in key or not key.endswith(b"/.ATTRIBUTES/VARIABLE_VALUE"):
            continue
        shape = tuple(dim.size for dim in entry.shape.dim)
        dtype = saved_model_file.dtype_name(entry.dtype)
        content = _read(prefix, entry, shards)
        yield Variable(
            saved_model_file.text(key),
            saved_model_file.text(names.get(key) or key.partition(b"/.ATTRIBUTES")[0]),
            dtype,
            shape,
            _values(content, dtype, shape),
        )


def _values(content: bytes, dtype: str, shape: tuple[int, ...]) -> npt.NDArray[np.generic] | None:
    if dtype == _HALF:  # the upper half of a float32
        return (np.frombuffer(content, "<u2").astype("<u4") << 16).view("<f4").reshape(shape)
    try:
        kind = np.dtype(dtype)
    except TypeError:
        return None
    return None if kind.kind in "USO" else np.frombuffer(content, kind.newbyteorder("<")).reshape(shape)


def _read(prefix: Path, entry: object, shards: int) -> bytes:
    offset, size, shard = (getattr(entry, name) for name in ("offset", "size", "shard_id"))
    path = prefix.with_name(f"{prefix.name}.data-{shard:05d}-of-{shards:05d}")
    if not path.is_file() or min(offset, size) < 0 or offset + size > path.stat().st_size:
        raise ModelFormatError(f"has a damaged {path.name}, cut off or changed; fetch or save it again")
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(size)


def _texts(content: bytes, count: int) -> list[bytes]:
    """Values of a tensor of strings: their lengths, a checksum of these, the texts."""
    lengths, position = [], 0
    for _ in range(count):
        length, position = _varint(content, position)
        lengths.append(length)
    position += 4
    found = []
    for length in lengths:
        found.append(content[position : position + length])
        position += length
    return found


def _table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    footer = content[-_FOOTER:]
    if len(footer) < _FOOTER or struct.unpack("<Q", footer[-8:])[0] != _MAGIC:
        raise ValueError("its end is not that of a checkpoint")
    _, position = _varint(footer, 0)  # of the block about other blocks
    _, position = _varint(footer, position)
    offset, position = _varint(footer, position)
    size, _ = _varint(footer, position)
    for _, handle in _block(content, offset, size):
        start, position = _varint(handle, 0)
        yield from _block(content, start, _varint(handle, position)[0])


def _block(content: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    if offset + size >= len(content):
        raise ValueError("it is cut off")
    if content[offset + size]:
        raise ValueError("it is compressed, which TensorFlow does not do")
    block = content[offset : offset + size]
    (restarts,) = struct.unpack("<I", block[-4:])
    end = size - 4 * (restarts + 1)
    key, position = b"", 0
    while position < end:
        shared, position = _varint(block, position)
        added, position = _varint(block, position)
        length, position = _varint(block, position)
        if position + added + length > end:
            raise ValueError("an entry is longer than its block")
        key = key[:shared] + block[position : position + added]
        position += added
        yield key, block[position : position + length]
        position += length


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """A number of 7 bits a byte, and the position behind it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = content[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise ValueError("a number does not end")
