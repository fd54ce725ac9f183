"""What several test processes need and takes long to make: the first that asks makes it, the others read it."""

from __future__ import annotations

import fcntl
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

Made = TypeVar("Made")


class Shared:
    """Folders that all processes of one test run have in common. What is in them is read-only.

    Args:
        root: The folder of these folders.
    """

    def __init__(self, root: Path):
        self._root = root
        root.mkdir(exist_ok=True)

    @classmethod
    def of(cls, base: Path) -> Shared:
        """Those of a test run, by pytest's base folder of this process, which xdist puts into that of the run."""
        return cls((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared")

    def make(self, name: str, build: Callable[[Path], Made]) -> Made:
        """Makes something in an empty folder of that name, unless that was done.

        Args:
            name: Names the folder, and what is made.
            build: Takes the folder; what it returns must be possible to pickle.

        Returns:
            What `build` returned, in this process or in another.
        """
        folder, result = self._root / name, self._root / f"{name}.pickle"
        with open(self._root / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not result.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of one that failed
                folder.mkdir()
                made: Any = build(folder)
                result.write_bytes(pickle.dumps(made))
                return made
        return pickle.loads(result.read_bytes())
