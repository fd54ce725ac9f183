"""TFRecord files that are damaged, empty or not of examples."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest
import tensorflow as tf

from pipeline.checks import records
from tests.project import Project, examples


def test_uncompressed_records_are_read_too(project: Project) -> None:
    (project.root / "data/train.tfrecord.gz").unlink()
    project.write_records("train.tfrecord", examples(5))
    assert project.looked_at() == []


@pytest.mark.parametrize("split", ["train", "eval"])
def test_truncated_records(project: Project, split: str) -> None:
    path = project.root / f"data/{split}.tfrecord.gz"
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[:-7]))
    problem = project.problem()
    assert f"{split}.tfrecord.gz is damaged" in problem.message
    assert problem.key() == f"data.splits.{split}"


def test_truncated_gzip(project: Project) -> None:
    path = project.root / "data/train.tfrecord.gz"
    path.write_bytes(path.read_bytes()[:-20])
    assert "train.tfrecord.gz is damaged" in project.problem().message


def test_gzip_cut_off_anywhere_is_not_read_as_a_shorter_file(project: Project) -> None:
    """TensorFlow alone reads it without complaint if what is left ends with a record."""
    path = project.root / "data/train.tfrecord.gz"
    content = path.read_bytes()
    assert records.read_through(str(path))[0] == 12
    for missing in range(1, len(content) // 2):
        path.write_bytes(content[:-missing])
        with pytest.raises((ValueError, tf.errors.OpError)):
            records.read_through(str(path))


@pytest.mark.parametrize(
    ("lengths", "whole"),
    [
        pytest.param([70 * 2**20], True, id="one"),
        pytest.param([70 * 2**20], False, id="one, at the first record"),
        pytest.param([2**62], True, id="claimed"),
        pytest.param([2**62], False, id="claimed, at the first record"),
        pytest.param([100] * 650_000, True, id="many"),
    ],
)
def test_a_gzip_file_that_unpacks_to_far_more_is_refused(
    tmp_path: Path, lengths: list[int], whole: bool
) -> None:
    path = tmp_path / "bomb.tfrecord.gz"
    with gzip.open(path, "wb") as file:
        for length in lengths:
            file.write(struct.pack("<QI", length, 0) + bytes(min(length, 80 * 2**20) + 4))
    with pytest.raises(ValueError, match=f"has {path.stat().st_size:,} bytes and would unpack to "):
        records.read_through(str(path), whole)


def test_flipped_bit(project: Project) -> None:
    path = project.root / "data/train.tfrecord.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[40] ^= 1
    path.write_bytes(gzip.compress(bytes(content)))
    assert "train.tfrecord.gz is damaged: DataLossError" in project.problem().message


def test_file_without_records(project: Project) -> None:
    project.write_records("eval.tfrecord.gz", [])
    assert "eval.tfrecord.gz has no records" in project.problem().message


def test_records_that_are_not_examples(project: Project) -> None:
    for name in ("train", "eval"):
        path = str(project.root / f"data/{name}.tfrecord.gz")
        with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
            writer.write(b"\xff\xff plain text")
    problems = project.looked_at()
    assert all("its first record is not a tf.Example" in problem.message for problem in problems)
    assert len(problems) == 2
