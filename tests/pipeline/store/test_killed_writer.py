"""A store whose writer was killed in a transaction: SQLite's journal is hot, and has to be rolled back."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pipeline.config.metadata_url import StoreError
from pipeline.store import sqlite
from pipeline.store.connection import connect
from pipeline.store.reader import Reader
from tests import many_runs

# Writes pages of an open transaction to the file, as SQLite does if its cache is full, and is killed.
WRITER = """
    import os, signal, sqlite3, sys

    database = sqlite3.connect(sys.argv[1], isolation_level=None)
    database.execute("PRAGMA cache_size = 1")
    database.execute("BEGIN")
    database.execute("UPDATE Execution SET type_id = type_id + 1, name = hex(randomblob(500))")
    database.execute("UPDATE Artifact SET uri = hex(randomblob(500))")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_writer(path: Path) -> None:
    subprocess.run([sys.executable, "-c", textwrap.dedent(WRITER), str(path)], check=False)
    assert Path(f"{path}-journal").stat().st_size > 0
    with pytest.raises(sqlite3.OperationalError):  # it is hot: no reader can open the file
        sqlite3.connect(f"file:{path}?mode=ro", uri=True).execute("SELECT * FROM Execution").fetchall()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    many_runs.make(tmp_path, 12)
    return tmp_path / "metadata.sqlite"


@pytest.mark.parametrize("by", ["tables", "ml_metadata"])
def test_a_reader_rolls_the_journal_back(store: Path, by: str) -> None:
    url = f"sqlite:///{store}"
    before = [(a.id, a.uri, a.properties) for a in Reader.open(url).all_artifacts()]
    runs = Reader.open(url).runs()
    kill_writer(store)

    reader = Reader.open(url) if by == "tables" else Reader(connect(url))
    assert [(a.id, a.uri, a.properties) for a in reader.all_artifacts()] == before
    assert reader.runs() == runs and len(runs) == 12
    assert not Path(f"{store}-journal").exists()


def test_who_may_not_write_reads_what_to_do(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill_writer(store)
    whole = sqlite3.connect

    def read_only(address: str, **options: object) -> sqlite3.Connection:
        return whole(address.replace("mode=rw", "mode=ro"), **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(
        sqlite.sqlite3, "connect", read_only
    )  # tests may run as root, who may write anything
    with pytest.raises(StoreError) as raised:
        Reader.open(f"sqlite:///{store}")
    assert "was killed while it wrote" in str(raised.value) and f"{store}-journal" in str(raised.value)
    assert f"`paredown runs --metadata sqlite:///{store}` once as a user who may write" in str(raised.value)
    monkeypatch.undo()
    assert len(Reader.open(f"sqlite:///{store}").runs()) == 12


def test_a_writer_that_holds_the_file_is_not_taken_for_killed(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_PATIENCE", 0.1)
    writer = sqlite3.connect(store, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    writer.execute("UPDATE Context SET name = name || 'x'")
    assert os.path.exists(f"{store}-journal")
    with pytest.raises(StoreError, match="database is locked"):
        sqlite.SqliteStore(str(store))
    writer.execute("ROLLBACK")


def test_the_journal_of_a_writer_that_is_alive_is_left(store: Path) -> None:
    writer = sqlite3.connect(store, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE Context SET name = name || 'x'")
    assert os.path.exists(f"{store}-journal")
    assert len(Reader.open(f"sqlite:///{store}").runs()) == 12
    writer.execute("ROLLBACK")
    assert len(Reader.open(f"sqlite:///{store}").runs()) == 12
