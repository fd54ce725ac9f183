"""The lock of a pipeline root: one run at a time, and no file is ever changed by it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from pipeline.run import lock
from pipeline.run.lock import LockError


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    root = tmp_path / "a" / "b"
    with lock.hold(root) as first, lock.hold(root) as second:
        assert (first, second) == (True, False)
    with lock.hold(root) as held:
        assert held


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("content")
    (tmp_path / "run.lock").symlink_to(target)
    why = r"run\.lock, which.* cannot be written: it is a symbolic link; move it away"
    with pytest.raises(LockError, match=why), lock.hold(tmp_path):
        pass
    assert target.read_text() == "content"


def test_a_link_to_nothing_makes_nothing(tmp_path: Path) -> None:
    (tmp_path / "run.lock").symlink_to(tmp_path / "new")
    with pytest.raises(LockError), lock.hold(tmp_path):
        pass
    assert not (tmp_path / "new").exists()


def test_the_content_of_a_lock_file_stays(tmp_path: Path) -> None:
    (tmp_path / "run.lock").write_text("somebody's")
    with lock.hold(tmp_path) as held:
        assert held
    assert (tmp_path / "run.lock").read_text() == "somebody's"


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["a folder", "a FIFO"])
def test_what_is_not_a_file_is_refused(tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / "run.lock")
    with pytest.raises(LockError, match=r"move it away, set run\.pipeline_root"), lock.hold(tmp_path):
        pass


def test_a_root_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LockError, match="Not a directory"), lock.hold(tmp_path / "file" / "root"):
        pass


@pytest.mark.skipif(os.getuid() != 0, reason="needs to become another user")
def test_a_lock_that_cannot_be_read_is_refused() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        (root / "run.lock").touch()
        (root / "run.lock").chmod(0)
        os.seteuid(65534)
        try:
            with pytest.raises(LockError, match="Permission denied"), lock.hold(root):
                pass
        finally:
            os.seteuid(0)
