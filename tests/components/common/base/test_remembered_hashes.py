"""Hashes that are remembered for one run, and what differs from a record."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from components.common.base import file_hashes
from components.common.base.file_hashes import ChangedFile, FileHashes


def old(path: Path, content: bytes, age: float = 60) -> Path:
    """A file whose time of modification is past; its time of change cannot be set."""
    path.write_bytes(content)
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_a_file_is_hashed_once_while_it_stays_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    whole = file_hashes.digest
    monkeypatch.setattr(file_hashes, "digest", lambda path: read.append(str(path)) or whole(path))
    monkeypatch.setattr(file_hashes, "TICK_NS", 0)
    path = old(tmp_path / "file", b"one")
    hashes = FileHashes()
    assert [hashes.digest(path) for _ in range(3)] == [hashlib.sha256(b"one").hexdigest()] * 3
    assert read == [str(path)]

    # Same size, same time of modification: the time of change differs.
    status = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert hashes.digest(path) == hashlib.sha256(b"two").hexdigest()
    assert len(read) == 2


def test_a_file_that_changed_just_now_is_not_remembered(tmp_path: Path) -> None:
    path = tmp_path / "file"
    hashes = FileHashes()
    for content in (b"one", b"two", b"six") * 20:  # within a tick of the file system's clock
        path.write_bytes(content)
        assert hashes.digest(path) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda root: (root / "a/b").write_bytes(b"x"), "a/b was changed: its SHA-256 is 2d711642b726…"),
        (lambda root: (root / "a/b").unlink(), "a/b is missing"),
        (lambda root: (root / "a/.c").touch(), "a/.c was added"),
        (lambda root: (root / "a/b").rename(root / "a/d"), "a/b is missing"),
    ],
)
def test_a_difference_names_the_file(tmp_path: Path, damage: object, expected: str) -> None:
    (tmp_path / "a").mkdir()
    for name in ("a/b", "c"):
        (tmp_path / name).write_text(name)
    recorded = file_hashes.digests(tmp_path)
    assert file_hashes.difference(tmp_path, recorded, file_hashes.digests(tmp_path)) == ""
    damage(tmp_path)  # type: ignore[operator]
    with pytest.raises(ChangedFile) as raised:
        file_hashes.refuse_change(tmp_path, recorded, FileHashes().of_folder(tmp_path), "do this")
    assert str(raised.value).startswith(f"{tmp_path}/{expected}")
    assert str(raised.value).endswith("; do this")


@pytest.mark.parametrize("text", [None, "", "{", "[]", "null"])
def test_a_property_that_is_not_a_record_is_none(text: str | None) -> None:
    assert file_hashes.from_property(text) is None
    assert file_hashes.from_property(file_hashes.as_property({"a": "b"})) == {"a": "b"}
