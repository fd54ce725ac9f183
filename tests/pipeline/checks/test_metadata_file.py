"""A file that cannot be the metadata store is refused, and one that can be is left as it is."""

from __future__ import annotations

import os
import random
import sqlite3
from pathlib import Path

import pytest
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2

from tests.pipeline.checks.unread import CONFIG, refusal
from tests.project import changed


def new_store(path: Path) -> bytes:
    """A store as ML Metadata makes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(path)
    connection.sqlite.connection_mode = 3  # READWRITE_OPENCREATE
    metadata_store.MetadataStore(connection)
    return path.read_bytes()


def other_database(path: Path) -> bytes:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE songs (title TEXT)")
    database.close()
    return path.read_bytes()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(
            lambda store: random.Random(0).randbytes(5000),
            "is damaged (file is not a database)",
            id="random bytes",
        ),
        pytest.param(
            lambda store: store[: len(store) // 2],
            "is damaged (database disk image is malformed)",
            id="first half",
        ),
        pytest.param(
            lambda store: store[:60],
            "is damaged (database disk image is malformed)",
            id="first bytes",
        ),
        pytest.param(
            lambda store: store[:12288] + random.Random(0).randbytes(8192) + store[20480:],
            "is damaged (",
            id="random bytes in the middle",
        ),
        pytest.param(
            lambda store: b"\0" * 100 + store[100:],
            "is damaged (file is not a database)",
            id="header lost",
        ),
        pytest.param(lambda store: b"metadata\n", "is damaged (file is not a database)", id="text"),
    ],
)
def test_damaged_metadata_store_is_refused(unread, damage, message):
    path = unread.root / "out" / "metadata.sqlite"
    path.write_bytes(damage(new_store(path)))
    text = changed(CONFIG, "run:", "run:  # here")
    found = refusal(unread, text)

    assert found.key() == "run.metadata"
    assert found.message.startswith(f"out/metadata.sqlite {message}")
    assert found.message.endswith("; move it away, or name another with run.metadata: sqlite:///…")


def test_database_of_something_else_is_refused(unread):
    other_database(unread.root / "songs.db")
    text = changed(
        CONFIG, "pipeline_root: out", "pipeline_root: out\n  metadata: sqlite:///songs.db  # here"
    )
    found = refusal(unread, text)

    assert found.key() == "run.metadata"
    assert found.message.startswith(
        "songs.db is an SQLite database, but not an ML Metadata store; move it away"
    )


def test_folder_as_metadata_store_is_refused(unread):
    text = changed(CONFIG, "pipeline_root: out", "pipeline_root: out\n  metadata: sqlite:///data  # here")

    assert refusal(unread, text).message.startswith("data is not a file; move it away")


def test_existing_metadata_store_is_accepted(unread):
    new_store(unread.root / "out" / "metadata.sqlite")

    assert unread.checked() == []


def test_empty_file_is_accepted_as_metadata_store(unread):
    unread.write("out/metadata.sqlite", b"")

    assert unread.checked() == []


def test_metadata_store_in_use_is_accepted(unread):
    path = unread.root / "out" / "metadata.sqlite"
    new_store(path)
    run = sqlite3.connect(path, isolation_level=None)
    run.execute("BEGIN EXCLUSIVE")
    try:
        assert unread.checked() == []
    finally:
        run.close()


def test_metadata_store_of_a_killed_run_is_accepted(unread):
    """A journal that is still to be rolled back is left for the next run, which can write."""
    path = unread.root / "out" / "metadata.sqlite"
    new_store(path)
    run = sqlite3.connect(path, isolation_level=None)
    run.execute("PRAGMA cache_size = 1")
    run.execute("BEGIN EXCLUSIVE")
    run.execute("CREATE TABLE spill (text)")
    run.executemany("INSERT INTO spill VALUES (?)", [("x" * 3000,)] * 300)
    copies = {p.name: p.read_bytes() for p in path.parent.iterdir()}
    run.close()
    assert sorted(copies) == ["metadata.sqlite", "metadata.sqlite-journal"]
    for name, content in copies.items():
        (path.parent / name).write_bytes(content)

    assert unread.checked() == []


def test_looking_at_a_store_in_wal_mode_makes_no_files(unread):
    path = unread.root / "out" / "metadata.sqlite"
    new_store(path)
    store = sqlite3.connect(path)
    store.execute("PRAGMA journal_mode = WAL")
    store.close()

    assert unread.checked() == []
    assert os.listdir(path.parent) == ["metadata.sqlite"]
