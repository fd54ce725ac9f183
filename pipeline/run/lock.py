"""One run at a time below a pipeline root."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def hold(root: Path) -> Iterator[bool]:
    """Takes the lock of a pipeline root: two runs would train the same nodes and push twice.

    The system frees the lock when the process ends, in whatever way.

    Args:
        root: The folder; created if it does not exist.

    Yields:
        Whether the lock was free.
    """
    root.mkdir(parents=True, exist_ok=True)
    with open(root / "run.lock", "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
