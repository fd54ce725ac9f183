"""Version folders: whole or not there, whatever happens to the process that pushes."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.common.base.file_hashes import ChangedFile, digests
from components.common.base.interruption import Interrupted
from components.pusher import version_folder
from components.pusher.version_folder import next_version

ROOT = Path(__file__).parents[3]
FILES = {
    "saved_model.pb": b"graph",
    "variables/variables.data-00000-of-00001": b"weights" * 1000,
    "variables/variables.index": b"",
}


def push(model: Path | str, directory: Path | str) -> Path:
    """Pushes what was judged."""
    return version_folder.push(model, directory, digests(model))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "assets").mkdir()
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


numbers = st.integers(0, 2 * 10**10).map(str) | st.integers(1_699_999_990, 1_700_000_010).map(str)
strangers = st.sampled_from(["x", "1800000000.bak", ".1800000000.partial-ab", "-5", "²", ""]) | st.text(
    max_size=5
)


@given(st.lists(numbers | strangers), st.floats(0, 2e10) | st.floats(1.7e9, 1.7e9 + 2))
def test_a_version_is_the_time_but_one_higher_than_all_before_if_these_are_later(
    names: list[str], now: float
) -> None:
    version = next_version(names, now)
    taken = [int(name) for name in names if re.fullmatch(r"\d+", name)]
    assert version >= int(now) and all(version > number for number in taken)
    assert version == int(now) or version - 1 in taken


trees = st.dictionaries(
    st.from_regex(r"[a-z]{1,3}(/[a-z]{1,3}){0,2}\.(pb|index)", fullmatch=True),
    st.binary(max_size=50),
    min_size=1,
    max_size=5,
)


@settings(deadline=None, max_examples=50)
@given(trees, st.integers(0, 5), st.sampled_from([OSError(28, "No space left on device"), Interrupted()]))
def test_a_push_is_whole_or_not_there(files: dict[str, bytes], copies: int, error: Exception) -> None:
    """Whichever file it is at which copying fails, if it does."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        model, serving = Path(folder, "model"), Path(folder, "serving")
        for name, value in files.items():
            (model / name).parent.mkdir(parents=True, exist_ok=True)
            (model / name).write_bytes(value)
        before = push(model, serving)
        left = iter(range(copies))

        def copy(source: Path, destination: Path) -> None:
            if next(left, None) is None:
                destination.write_bytes(b"ha")
                raise error
            shutil.copyfile(source, destination)

        patch.setattr(version_folder, "copy_file", copy)
        expected = {before.name}
        if copies < len(files):
            with pytest.raises(type(error)):
                push(model, serving)
        else:
            expected.add(push(model, serving).name)
        assert set(os.listdir(serving)) == expected
        assert all(content(serving / name) == files for name in expected)


def test_a_version_holds_what_the_model_holds(model: Path, tmp_path: Path) -> None:
    version = push(str(model), str(tmp_path / "new" / "serving"))

    assert version.parent == tmp_path / "new" / "serving"
    assert content(version) == FILES
    assert (version / "assets").is_dir()  # which a SavedModel has though it be empty
    assert os.listdir(version.parent) == [version.name]
    # As readable as any folder that is made here: the server may be another user.
    assert version.stat().st_mode == model.stat().st_mode
    assert (version / "saved_model.pb").stat().st_mode == (model / "saved_model.pb").stat().st_mode


def test_pushes_within_a_second_are_versions_in_order(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(version_folder.time, "time", lambda: 1700000000.5)
    versions = [push(model, tmp_path / "serving") for _ in range(3)]

    assert [path.name for path in versions] == ["1700000000", "1700000001", "1700000002"]
    assert [content(path) for path in versions] == [FILES] * 3


def refuse(descriptor: int, *operation: int) -> None:
    """What NFS answers to locking a folder, and file systems on buckets to writing one out."""
    raise OSError(errno.EBADF if operation else errno.EINVAL, "not for folders")


@pytest.mark.parametrize("able", [True, False])
def test_pushes_at_once_are_versions_of_their_own(
    able: bool, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the file system can do less with folders than others."""
    if not able:
        monkeypatch.setattr(version_folder.fcntl, "flock", refuse)
        monkeypatch.setattr(version_folder.os, "fsync", refuse)
    monkeypatch.setattr(version_folder.time, "time", lambda: 1700000000.5)
    with ThreadPoolExecutor(8) as threads:
        versions = list(threads.map(lambda _: push(model, tmp_path / "serving"), range(24)))

    numbers = [str(1700000000 + i) for i in range(24)]
    assert sorted(path.name for path in versions) == numbers
    assert sorted(os.listdir(tmp_path / "serving")) == numbers
    assert all(content(path) == FILES for path in versions)


KILLED = """
import sys, time
from components.common.base.file_hashes import digests
from components.pusher import version_folder

copy_file, copied = version_folder.copy_file, []

def copy(source, destination):
    if copied:
        print("half", flush=True)
        time.sleep(60)
    copy_file(source, destination)
    copied.append(destination)

version_folder.copy_file = copy
version_folder.push(sys.argv[1], sys.argv[2], digests(sys.argv[1]))
"""


def begin_push(model: Path, serving: Path) -> subprocess.Popen[str]:
    """A process that pushes and stops when one of the files is copied."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(model), str(serving)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    return process


def test_a_killed_process_leaves_no_version_and_the_next_push_removes_the_rest(
    model: Path, tmp_path: Path
) -> None:
    serving = tmp_path / "serving"
    before = push(model, serving)
    process = begin_push(model, serving)
    (half,) = [path for path in serving.iterdir() if path != before]
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL

    assert list(content(half)) == ["saved_model.pb"]
    assert not half.name.isdigit() and half.name.startswith(".")
    strangers = [serving / ".keep", serving / "notes.partial-1", serving / ".1.partial-x"]
    for stranger in strangers:
        stranger.mkdir()
    after = push(model, serving)

    assert int(after.name) > int(before.name)
    assert content(after) == content(before) == FILES
    assert sorted(serving.iterdir()) == sorted([before, after, *strangers])


def test_a_push_waits_for_another_one_and_leaves_its_copy_alone(model: Path, tmp_path: Path) -> None:
    serving = tmp_path / "serving"
    process = begin_push(model, serving)
    (half,) = serving.iterdir()
    with ThreadPoolExecutor(1) as thread:
        second = thread.submit(push, model, serving)
        try:
            assert wait([second], timeout=0.3).not_done == {second}
            assert list(serving.iterdir()) == [half]
            assert list(content(half)) == ["saved_model.pb"]
        finally:
            process.kill()
            process.wait()
        version = second.result(timeout=300)
        assert list(serving.iterdir()) == [version]


def test_an_empty_folder_is_not_a_model(tmp_path: Path) -> None:
    (tmp_path / "empty" / "assets").mkdir(parents=True)
    for folder in ("empty", "missing"):
        with pytest.raises(
            version_folder.NothingToPushError,
            match=f"{folder} has no model to push; run again, and the node",
        ):
            push(tmp_path / folder, tmp_path / "serving")
    assert not (tmp_path / "serving").exists()


def test_only_what_was_judged_is_pushed(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving, judged = tmp_path / "serving", digests(model)
    before = push(model, serving)

    def flip(source: Path, destination: Path) -> None:
        version_folder.shutil.copyfile(source, destination)
        if source.name == "saved_model.pb":
            destination.write_bytes(b"grapf")

    with monkeypatch.context() as changed:
        changed.setattr(version_folder, "copy_file", flip)
        with pytest.raises(ChangedFile, match=r"saved_model\.pb was changed"):
            push(model, serving)
    (model / "labels.txt").write_text("cat")
    with pytest.raises(ChangedFile, match=r"model/labels\.txt was added"):
        version_folder.push(model, serving, judged)
    (model / "labels.txt").unlink()
    (model / "variables/variables.index").unlink()
    with pytest.raises(ChangedFile, match=r"variables\.index is missing"):
        version_folder.push(model, serving, judged)
    assert os.listdir(serving) == [before.name]


def test_a_version_is_known_as_the_one_that_this_process_pushed(model: Path, tmp_path: Path) -> None:
    """Not by its number: another folder may have it by now."""
    version_folder.forget()
    version = push(model, tmp_path / "serving")
    other = tmp_path / "serving" / f"{int(version.name) + 1}"
    subprocess.run(["cp", "-r", str(version), str(other)], check=True)

    assert version_folder.is_mine(version)
    assert not version_folder.is_mine(other)
    other.rename(tmp_path / "kept")
    version.rename(other)
    assert version_folder.is_mine(other) and not version_folder.is_mine(version)
    version_folder.forget()
    assert not version_folder.is_mine(other)
