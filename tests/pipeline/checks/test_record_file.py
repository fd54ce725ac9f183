"""Reading TFRecord files: against TensorFlow's own writer and reader."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import pytest
import tensorflow as tf

from pipeline.checks import record_file, records


def framed(contents: list[bytes]) -> bytes:
    """A TFRecord file, as TensorFlow writes it."""
    with tempfile.TemporaryDirectory() as folder:
        with tf.io.TFRecordWriter(f"{folder}/file") as writer:
            for content in contents:
                writer.write(content)
        return Path(folder, "file").read_bytes()


@pytest.mark.parametrize("name", ["plain.tfrecord", "packed.tfrecord.gz"])
def test_records_are_read_as_tensorflow_reads_them(tmp_path: Path, name: str) -> None:
    """Of many sizes, so that some begin and end where a block does, or are longer than several."""
    sizes = [0, 1, 2**20 - 16, 2**20, 3, *range(0, 9000, 37), 3 * 2**20 + 5, 0]
    contents = [bytes([index % 251]) * size for index, size in enumerate(sizes)]
    path = tmp_path / name
    path.write_bytes(gzip.compress(framed(contents), 1) if name.endswith("gz") else framed(contents))
    assert list(record_file.records(str(path))) == contents


def test_every_flipped_bit_and_every_cut_is_found(tmp_path: Path) -> None:
    path = tmp_path / "plain.tfrecord"
    content = framed([b"one", b"two", b""])
    for at in range(len(content) * 8):
        damaged = bytearray(content)
        damaged[at // 8] ^= 1 << at % 8
        path.write_bytes(damaged)
        with pytest.raises(record_file.BadRecord):
            list(record_file.records(str(path)))
    for size in set(range(1, len(content))) - {19, 38}:  # where a record ends
        path.write_bytes(content[:size])
        with pytest.raises(record_file.BadRecord):
            list(record_file.records(str(path)))


@pytest.mark.parametrize("held", [0, 2**20])
def test_records_that_are_too_large_to_be_kept_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    monkeypatch.setattr(records, "_KEPT", held)
    path = tmp_path / "plain.tfrecord"
    examples = [b""] * 95
    path.write_bytes(framed(examples))
    looked_at: list[int] = []
    count, _ = records.read_through(str(path), True, 20, lambda index, record: looked_at.append(index))
    assert count == 95
    assert looked_at == [0, 1, *range(5, 95, 5)]
