"""A file in the user's cache folder: it may be missing or lost at any time, and is never believed if it is damaged."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any


def folder() -> Path:
    """The user's cache folder; it need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "paredown")


class UserCache:
    """Rows by key, in a JSON file whose first line is the SHA-256 of the rest.

    Attributes:
        rows: As they were read; empty if there is no such file, or if it is damaged.
    """

    def __init__(self, path: Path):
        """Reads a file."""
        self._path = path
        self.rows: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            digest, _, text = self._path.read_bytes().partition(b"\n")
            if hashlib.sha256(text).hexdigest().encode() == digest:
                self.rows = json.loads(text)

    def save(self, rows: dict[str, Any]) -> None:
        """Writes these rows in place of all; does nothing if the folder cannot be written."""
        text = json.dumps(rows, separators=(",", ":")).encode()
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                beside.write_bytes(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
                beside.replace(self._path)
            finally:
                beside.unlink(missing_ok=True)
