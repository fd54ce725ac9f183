"""Version folders below a push directory: one for each pushed version, named by a number.

A model server watches the directory and loads the folder with the highest number, so a version must never
be there in part: it is copied into a folder whose name is not a number and then renamed, which the file system
does at once or not at all.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from components.common.base import file_hashes
from components.common.base.errors import ParedownError


class NothingToPushError(ParedownError):
    """A model's folder has no file."""


# Advice about a file that differs.
NOT_JUDGED = (
    "another file was judged, so nothing is pushed; run again, and the node that made it runs again"
)
# Folders that this process pushed, by device and inode: a name may be another's by the time that one asks.
_mine: set[tuple[int, int]] = set()

_PARTIAL = re.compile(r"\.\d+\.partial-[0-9a-f]+")
# How file systems say that they can neither lock folders nor write them out: NFS and those of buckets.
_UNABLE = (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


def next_version(names: Iterable[str], now: float) -> int:
    """The number of a version to be pushed.

    Args:
        names: What there is in the push directory.
        now: Seconds since 1970.

    Returns:
        The whole seconds of `now`, as TFX's Pusher numbers versions, or one more than the highest number
        there, whichever is greater: two pushes in a second are two versions, in order, and so are pushes
        of machines whose clocks differ.
    """
    taken = [int(name) for name in names if name.isdecimal()]
    return max([int(now), *(number + 1 for number in taken)])


def push(model: str | Path, directory: str | Path, judged: Mapping[str, str]) -> Path:
    """Copies a model into a new version folder, which appears whole or not at all.

    Args:
        model: Folder with the model's files.
        directory: The push directory, on a file system of this machine; made if it does not exist.
        judged: Path of each file, relative to the folder → SHA-256.

    Returns:
        The version's folder; its number is higher than all that were there.

    Raises:
        NothingToPushError: If there is no file to push.
        ChangedFile: If a file is not the one that was judged, here or in the copy; nothing is pushed then.
    """
    model, directory = Path(model), Path(directory)
    if not any(path.is_file() for path in model.rglob("*")):
        raise NothingToPushError(
            f"{model} has no model to push; run again, and the node that made it runs again"
        )
    file_hashes.refuse_change(model, judged, file_hashes.digests(model), NOT_JUDGED)
    directory.mkdir(parents=True, exist_ok=True)
    with _alone_in(directory) as alone:
        if alone:
            _remove_leftovers(directory)
        version = next_version(os.listdir(directory), time.time())
        partial = directory / f".{version}.partial-{uuid.uuid4().hex}"
        try:
            _copy(model, partial)
            file_hashes.refuse_change(model, judged, file_hashes.digests(partial), NOT_JUDGED)
            _mine.add(_identity(partial))
            return _put_in_place(partial, directory)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def forget() -> None:
    """Begins a push, of which `is_mine` then says what is its own."""
    _mine.clear()


def is_mine(version: str | Path) -> bool:
    """Whether this process pushed the version that a folder has; False if the folder does not exist."""
    try:
        return _identity(version) in _mine
    except OSError:
        return False


def _identity(folder: str | Path) -> tuple[int, int]:
    status = os.lstat(folder)
    return status.st_dev, status.st_ino


@contextmanager
def _alone_in(directory: Path) -> Iterator[bool]:
    """Waits until no one else pushes into a directory; the system frees it when a process ends, however.

    Yields:
        Whether this is known; if the file system cannot lock a directory, leftovers stay.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _UNABLE:
                raise
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _remove_leftovers(directory: Path) -> None:
    """Removes leftovers of processes that were killed while they copied; none of them is still copying."""
    for name in os.listdir(directory):
        if _PARTIAL.fullmatch(name):
            shutil.rmtree(directory / name, ignore_errors=True)


def _copy(source: Path, destination: Path) -> None:
    """Copies a folder, and waits until the files are on the disk: a name must not outlive what it names."""
    destination.mkdir()
    for path in sorted(source.rglob("*")):
        copy = destination / path.relative_to(source)
        if path.is_dir():
            copy.mkdir(parents=True, exist_ok=True)
        else:
            copy_file(path, copy)
            _flush(copy)
    _flush(destination)


def copy_file(source: Path, destination: Path) -> None:
    """Copies one file's content."""
    shutil.copyfile(source, destination)


def _put_in_place(partial: Path, directory: Path) -> Path:
    """Gives a complete copy its number."""
    while True:
        version = directory / str(next_version(os.listdir(directory), time.time()))
        try:
            os.rename(partial, version)
        except OSError as error:
            # A process that does not lock took the number meanwhile.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            _flush(directory)
            return version


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNABLE:
            raise
    finally:
        os.close(descriptor)
