"""Versions of components that one command left for the next: finding them reads 250 files.

Only what is shown goes by them: a run finds its versions afresh. They count as long as inode, size and times of every
Python file of `components`, and of the folders that Python searches for packages, are the same.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from components.common.base.file_hashes import TICK_NS
from pipeline.base import user_cache
from pipeline.base.user_cache import UserCache

_versions: ContextVar[tuple[Path, dict[str, str]] | None] = ContextVar("versions", default=None)


@contextmanager
def remembered(root: Path) -> Iterator[None]:
    """Lets `code_version.component_version` use the versions of an earlier command, and keeps new ones for the next.

    Args:
        root: Folder of the package `components`.
    """
    kept = UserCache(
        user_cache.folder() / f"versions-{hashlib.sha256(str(root).encode()).hexdigest()[:16]}.json"
    )
    state, settled = state_of(root)
    known = dict(kept.rows) if kept.rows.get("state") == state else {"state": state}
    versions = dict(known)
    token = _versions.set((root, versions))
    try:
        yield
    finally:
        _versions.reset(token)
    if versions != known and settled:
        kept.save(versions)


def within(root: Path) -> dict[str, str]:
    """The cache for the code below a folder, to read and to add to; empty outside of `remembered`."""
    found = _versions.get()
    return found[1] if found and found[0] == root else {}


def state_of(root: Path) -> tuple[str, bool]:
    """A hash of the inodes, sizes and times of all files, and whether all changed longer ago than a clock's tick.

    Args:
        root: Folder of the package `components`.
    """
    folders = [found for found in os.walk(root / "components") if not found[0].endswith("__pycache__")]
    files = [
        os.path.join(folder, name) for folder, _, names in folders for name in names if name.endswith(".py")
    ]
    found = hashlib.sha256()
    newest = 0
    for path in sorted(files) + [folder for folder in sys.path if os.path.isdir(folder)]:
        status = os.stat(path)
        times = (status.st_mtime_ns, status.st_ctime_ns)
        found.update(repr((path, status.st_ino, status.st_size, *times)).encode())
        newest = max(newest, *times)
    return found.hexdigest(), time.time_ns() - newest > TICK_NS
