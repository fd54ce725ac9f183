"""One run at a time below a pipeline root."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.common.base.errors import ParedownError


class LockError(ParedownError):
    """The lock of a pipeline root cannot be taken."""


@contextmanager
def hold(root: Path) -> Iterator[bool]:
    """Takes the lock of a pipeline root: two runs would train the same nodes and push twice.

    The system frees the lock when the process ends, in whatever way.

    Args:
        root: The folder; created if it does not exist.

    Yields:
        Whether the lock was free.

    Raises:
        LockError: If the folder cannot be made, or its `run.lock` is not a file that can be opened. A link is not
            followed.
    """
    path = root / "run.lock"
    try:
        root.mkdir(parents=True, exist_ok=True)
        descriptor = _open(path)
    except OSError as error:
        raise LockError(
            f"{path}, which keeps two runs apart, cannot be written: {error.strerror}; move it away, set "
            "run.pipeline_root to a different folder, or run as a user who may write there"
        ) from error
    with open(descriptor, "r+b"):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _open(path: Path) -> int:
    """The lock file, made if there is none; nothing is ever written to it."""
    if path.is_symlink():
        raise OSError(0, "it is a symbolic link")
    # O_NOFOLLOW as well: the link may have been made since. A FIFO would be waited for.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "it is not a regular file")
    return descriptor
