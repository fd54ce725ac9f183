"""A disk that is full, read-only or broken while a node writes: one message with the file and what to do."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from ml_metadata.errors import AlreadyExistsError
from ml_metadata.proto import metadata_store_pb2
from tfx.utils import io_utils

from components.common.base import json_file
from components.pusher import version_folder
from pipeline.config.metadata_url import StoreError
from pipeline.run.launcher import NodeFailed
from pipeline.run.refused_write import find
from pipeline.store.connection import connect, reporting


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 400 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def model() -> Any:
    return tf_keras.Sequential([tf_keras.layers.Input((400,)), tf_keras.layers.Dense(800)])


def write_records(folder: Path) -> None:
    with tf.io.TFRecordWriter(str(folder / "a.gz"), "GZIP") as writer:
        for seed in range(1000):
            writer.write(np.random.default_rng(seed).bytes(1000))


def write_by_beam(folder: Path) -> None:
    with beam.Pipeline() as pipeline:
        _ = (
            pipeline
            | beam.Create([b"x" * 100_000] * 30)
            | beam.io.WriteToTFRecord(str(folder / "by-beam"), file_name_suffix=".tfrecord")
        )


def push(folder: Path, source: Path) -> None:
    version_folder.push(source, folder / "serving", {"tflite": _digest(source / "tflite")})


def _digest(path: Path) -> str:
    from components.common.base.file_hashes import digest

    return digest(path)


WRITERS: dict[str, tuple[Callable[[Path, Path], Any], str]] = {
    "a Keras file": (lambda disk, _: model().save(disk / "model.h5"), "model.h5"),
    "a SavedModel": (lambda disk, _: tf.saved_model.save(model(), str(disk / "saved")), "saved/variables/"),
    "records": (lambda disk, _: write_records(disk), "a.gz"),
    "records by Beam": (lambda disk, _: write_by_beam(disk), ""),
    "JSON": (lambda disk, _: json_file.write(str(disk / "a.json"), ["x" * 900_000]), "a.json"),
    "a copy": (lambda disk, source: io_utils.copy_file(str(source / "tflite"), str(disk / "c")), "c"),
    "a push": (push, "serving/."),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_one_message_that_names_the_file(
    name: str, small_disk: Path, tmp_path: Path
) -> None:
    write, file = WRITERS[name]
    source = tmp_path / "source"
    source.mkdir()
    (source / "tflite").write_bytes(b"x" * 1_000_000)
    with pytest.raises(Exception, match=r"(?s).") as raised:
        write(small_disk, source)
    refused = find(raised.value, "/the/node")
    assert refused is not None
    expected = f"{small_disk}/{file}" if file else "/the/node: "
    assert str(refused).startswith(expected)
    assert str(refused).endswith(
        ": No space left on device; free space there and run again, finished nodes are cached"
    )


def test_a_store_that_cannot_grow_any_more_says_so(small_disk: Path) -> None:
    url = f"sqlite:///{small_disk}/metadata.sqlite"
    store = connect(url, write=True)
    kind = store.put_context_type(metadata_store_pb2.ContextType(name="kind"))

    def put(name: str) -> None:
        with reporting(url):
            store.put_contexts([metadata_store_pb2.Context(type_id=kind, name=name)])

    def fill() -> None:
        for index in range(1, 1000):
            put(f"{index}" * 1000)

    put("0")
    with pytest.raises(AlreadyExistsError):
        put("0")
    with pytest.raises(StoreError, match=r"metadata\.sqlite: the disk is full; free some space"):
        fill()


def wrapped(cause: BaseException) -> BaseException:
    """As Beam and TFX wrap what a node raises."""
    try:
        try:
            raise cause
        except BaseException as error:
            raise RuntimeError(f"{error} [while running 'Write']") from error
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    ("code", "fix"),
    [
        (errno.ENOSPC, "free space there"),
        (errno.EDQUOT, "free some of your quota there"),
        (errno.EROFS, "make it writable, or set another folder in run.pipeline_root or push.directory"),
        (errno.EIO, "check the disk"),
    ],
)
def test_other_refusals_and_their_fix(code: int, fix: str) -> None:
    why = os.strerror(code)
    end = f"{why}; {fix} and run again, finished nodes are cached"
    assert str(find(wrapped(OSError(code, why, "/a/b c")), "/root")) == f"/a/b c: {end}"
    assert str(find(wrapped(OSError(code, why, "/from", None, "/to")), "/root")) == f"/to: {end}"
    assert str(find(wrapped(OSError(code, why)), "/root")) == f"/root: {end}"
    reported = tf.errors.UnknownError(None, None, f"{{{{node x}}}} /a/b c; {why} [Op:SaveV2]")
    assert str(find(wrapped(reported), "/root")) == f"/a/b c: {end}"


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        FileNotFoundError(errno.ENOENT, "No such file", "/a"),
        StoreError("sqlite:///x: the disk is full; free some space"),
        PermissionError(errno.EACCES, "Permission denied", "/a"),
    ],
)
def test_what_is_not_a_refused_write(error: Exception) -> None:
    assert find(wrapped(error), "/root") is None


def test_the_reason_of_a_failed_node_is_the_refusal() -> None:
    first = wrapped(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a"))
    refused = find(first, "/root")
    assert refused is not None
    refused.__cause__ = first
    failed = NodeFailed("Trainer", "no")
    failed.__cause__ = refused
    assert failed.reason().startswith("/a: No space left on device; free space there")
