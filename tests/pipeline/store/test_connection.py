"""Opening stores: on SQLite, MariaDB, PostgreSQL and gRPC, all of them real."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from pathlib import Path

import pytest

from pipeline.config.metadata_url import PASSWORD_VARIABLE, StoreError
from pipeline.store.connection import MissingDatabase, connect, connect_error
from tests.pipeline.store.notes import put
from tests.servers.database import Database, free_port

pytest_plugins = ["tests.servers.fixtures"]


every_database = pytest.mark.parametrize("server", ["mariadb_server", "postgresql_server"], indirect=True)


def test_localhost_is_reached_over_tcp(mariadb_server: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """MySQL's client looks for a socket file if the host is called localhost."""
    monkeypatch.setenv(PASSWORD_VARIABLE, mariadb_server.password)
    store = connect(mariadb_server.url("places").replace("127.0.0.1", "localhost"), write=True)
    put(store, "a", "text")


@every_database
def test_a_socket_is_a_way_in(server: Database) -> None:
    place = server.folder / "socket" if server.scheme == "mysql" else server.folder
    port = "" if server.scheme == "mysql" else f":{server.port}"
    url = f"{server.scheme}://{server.user}@{port}/sockets?socket={place}"
    assert put(connect(url, write=True), "a", "text").name == "a"


@every_database
def test_a_wrong_or_missing_password_is_reported_in_a_sentence(
    server: Database, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    url = server.url("passwords")
    monkeypatch.setenv(PASSWORD_VARIABLE, "hunter2")
    with pytest.raises(StoreError) as wrong:
        connect(url, write=True)
    assert str(wrong.value).startswith(
        f"{url}: the server refuses to log in 'tester' with the password in the environment variable "
        "PAREDOWN_METADATA_PASSWORD; correct the user or the password"
    )
    assert "hunter2" not in str(wrong.value)
    monkeypatch.delenv(PASSWORD_VARIABLE)
    with pytest.raises(
        StoreError, match="log in 'tester' with no password; put the password in the environment"
    ):
        connect(url, write=True)
    assert capfd.readouterr() == ("", "")  # what the drivers say does not reach the terminal


@every_database
def test_a_reader_does_not_make_a_database(server: Database) -> None:
    with pytest.raises(
        MissingDatabase, match=r"the server has no database 'nothing'; a run creates it if 'tester' is"
    ):
        connect(server.url("nothing"))
    names = server.ask("SHOW DATABASES" if server.scheme == "mysql" else "SELECT datname FROM pg_database")
    assert ["nothing"] not in names


@every_database
def test_a_user_who_may_not_make_the_database_learns_who_can(
    server: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = "'weak'@'127.0.0.1' IDENTIFIED BY 'w'" if server.scheme == "mysql" else "weak PASSWORD 'w'"
    server.ask(f"CREATE USER {who}")
    monkeypatch.setenv("WEAK", "w")
    url = f"{server.scheme}://weak@127.0.0.1:{server.port}/forbidden?password_env=WEAK"
    with pytest.raises(
        StoreError, match="'weak' must not create or use the database 'forbidden'; ask"
    ) as refused:
        connect(url, write=True)
    assert not isinstance(refused.value, MissingDatabase)


@every_database
@pytest.mark.parametrize("schema", [99, 6], ids=["newer", "older"])
def test_a_store_of_another_version_says_so(server: Database, schema: int) -> None:
    url = server.url(f"schema{schema}")
    connect(url, write=True)
    server.ask(f"UPDATE MLMDEnv SET schema_version={schema}", f"schema{schema}")
    with pytest.raises(
        StoreError, match=f"another version of ml-metadata wrote it \\(schema {schema}, this one"
    ):
        connect(url, write=True)


@pytest.mark.parametrize("form", ["mysql://u@{}/d", "postgresql://u@{}/d", "grpc://{}"])
def test_a_missing_server_is_distinguished(form: str) -> None:
    nobody = form.format(f"127.0.0.1:{free_port()}")
    with pytest.raises(
        StoreError, match=r"no server answers at port \d+ of 127.0.0.1 \(Connection refused\)"
    ):
        connect(nobody, write=True)
    with pytest.raises(StoreError, match=r"the host 'nohost\.invalid' is not known"):
        connect(form.format("nohost.invalid:1"), write=True)


def test_a_socket_that_is_not_there_is_reported() -> None:
    with pytest.raises(StoreError, match=r"no server answers at the socket /none/s \(No such file"):
        connect("mysql://u@/d?socket=/none/s", write=True)


def test_sqlite_files_that_cannot_be_opened_say_why(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"the folder .*/none does not exist"):
        connect(f"sqlite:///{tmp_path}/none/store", write=True)
    with pytest.raises(StoreError, match="the SQLite file does not exist or cannot be read"):
        connect(f"sqlite:///{tmp_path}/none")
    (tmp_path / "junk").write_bytes(b"x" * 5000)
    with pytest.raises(StoreError, match="it is not an ML Metadata store, or it is damaged"):
        connect(f"sqlite:///{tmp_path}/junk", write=True)
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match=r"that is a folder; name a file, such as .*/folder/metadata"):
        connect(f"sqlite:///{tmp_path}/folder")


@pytest.mark.parametrize("damage", ["truncated", "without a table"])
def test_a_damaged_sqlite_store_is_reported_without_sql(
    tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.0)  # missing tables may be in the making
    file = tmp_path / "metadata.sqlite"
    connect(f"sqlite:///{file}", write=True)
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:100_000])
    else:
        with contextlib.closing(sqlite3.connect(file)) as database:
            database.execute("DROP TABLE ContextProperty")
    with pytest.raises(StoreError) as refusal:
        connect(f"sqlite:///{file}")
    assert str(refusal.value) == (
        f"sqlite:///{file}: it is not an ML Metadata store, or it is damaged; restore a copy of it, or name "
        "another store"
    )


def test_an_unforeseen_error_is_passed_on_in_one_line() -> None:
    error = RuntimeError("disk on fire at mysql://u:hunter2@h/d\nstack")
    assert connect_error("mysql://u@h/d", error) == (
        "mysql://u@h/d cannot be opened: disk on fire at mysql://…@h/d"
    )
    assert (
        connect_error("mysql://u@h/d", RuntimeError("")) == "mysql://u@h/d cannot be opened: RuntimeError"
    )
