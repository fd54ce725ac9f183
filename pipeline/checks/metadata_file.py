"""The SQLite file of the metadata store, opened read-only."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from pipeline.checks.paths import shown
from pipeline.config.config import Config
from pipeline.config.problem import Problem

_QUICK_TO_READ = 32 * 2**20  # bytes of a database that is read in about a tenth of a second


def check(config: Config) -> list[Problem]:
    """Why an existing file cannot be the metadata store; a server is asked when it is needed."""
    if config.metadata_path is None:
        return []
    path = Path(config.metadata_path).absolute()
    fault = _fault(path) if os.path.lexists(path) else None
    if fault is None:
        return []
    message = f"{shown(path)} {fault}; move it away, or name another with run.metadata: sqlite:///…"
    return [Problem(message, ("run", "metadata"))]


def _fault(path: Path) -> str | None:
    if not os.path.isfile(path):
        return "is not a file"
    if not os.access(path, os.R_OK | os.W_OK):
        return "cannot be read and written"
    # Reading a database in WAL mode would make two files beside it if it were not opened as immutable.
    immutable = "&immutable=1" if _in_wal_mode(path) else ""
    uri = f"{path.as_uri()}?mode=ro{immutable}"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=0.1)) as store:
            tables = {row[0] for row in store.execute("SELECT name FROM sqlite_master")}
            if tables and "MLMDEnv" not in tables:
                return "is an SQLite database, but not an ML Metadata store"
            if tables:
                store.execute("SELECT schema_version FROM MLMDEnv").fetchall()
            if path.stat().st_size <= _QUICK_TO_READ:
                found = store.execute("PRAGMA quick_check(1)").fetchone()[0]
                return None if found == "ok" else f"is damaged ({' '.join(found.split())})"
    except sqlite3.OperationalError as error:
        # A run that is writing has it locked; a killed run left a journal, which only a writer can roll back,
        # as the next run does.
        in_use = "locked" in str(error) or path.with_name(f"{path.name}-journal").exists()
        return None if in_use else f"cannot be opened: {error}"
    except sqlite3.DatabaseError as error:
        return f"is damaged ({error})"
    return None


def _in_wal_mode(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(20)[18:20] == b"\2\2"
