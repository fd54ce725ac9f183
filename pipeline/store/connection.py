"""Opens a metadata store; if that fails, one sentence says why and what to do."""

from __future__ import annotations

import os
import random
import re
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from pipeline.config import metadata_url
from pipeline.config.metadata_url import MetadataUrl, StoreError
from pipeline.store.sqlite import SqliteStore, roll_back

if TYPE_CHECKING:
    from ml_metadata.metadata_store import MetadataStore

_PATIENCE = 5.0  # seconds in which a server must answer
_ATTEMPTS = 10  # at a database that another run is creating; as many as TFX's

# Messages of databases if two programs create the same database or tables at once.
_RACE = re.compile(
    r"concurrent connection to the empty|duplicate key value violates unique constraint|Deadlock found"
    r"|(?:database|relation|type) \"[^\"]*\" already exists|is being accessed by other users"
    r"|tuple concurrently updated"
)

# Messages of SQLite if the system refuses a write.
_REFUSED = re.compile(r"database or disk is full|disk I/O error|unable to open database file")

_NO_DATABASE = r"Unknown database|database \"[^\"]*\" does not exist"


class MissingDatabase(StoreError):
    """A database that does not exist and was not to be created."""


def exists(url: str) -> bool:
    """Whether there may be a store: an SQLite file that is not empty, or the address of a server."""
    path = metadata_url.parse(url).path
    return path is None or (os.path.exists(path) and os.path.getsize(path) > 0)


def connect(url: MetadataUrl | str, write: bool = False) -> MetadataStore:
    """Opens a store.

    Args:
        url: As `run.metadata` has it.
        write: Whether to write to the store. A database that does not exist is then created; without, it is
            an error, and an SQLite file is opened read-only. A database without tables gets them in any
            case, because ml_metadata cannot open it otherwise.

    Returns:
        ml_metadata's MetadataStore, or a store with the same methods on PostgreSQL.

    Raises:
        MissingDatabase: If there is no such database.
        StoreError: If the store cannot be opened for another reason; the text shows no password.
    """
    from ml_metadata import errors
    from ml_metadata.metadata_store import metadata_store

    if isinstance(url, str):
        url = metadata_url.parse(url)
    config = url.connection_config(readonly=not write)
    if url.path is None:
        _reach(url)
    elif not write:
        roll_back(url.path)
    for attempt in range(_ATTEMPTS):
        with _standard_error() as said:
            try:
                store = metadata_store.MetadataStore(config)
                if url.scheme in ("grpc", "grpcs"):
                    store.get_context_types()  # the first call is what connects
                break
            except (RuntimeError, errors.StatusError) as error:
                failure, words = error, said()
        if not _RACE.search(str(failure)) or attempt + 1 == _ATTEMPTS:
            kind = MissingDatabase if re.search(_NO_DATABASE, f"{failure} {words}") else StoreError
            raise kind(connect_error(url, failure, words)) from None
        time.sleep(random.random())
    if url.scheme == "postgresql":
        from pipeline.store.postgresql import PostgresqlStore

        return cast("MetadataStore", PostgresqlStore(store))
    return store


@contextmanager
def reporting(url: str) -> Iterator[None]:
    """Makes a StoreError of what ml_metadata raises if an open store can no longer be written to.

    Raises:
        StoreError: If the disk is full or broken.
    """
    from ml_metadata import errors

    try:
        yield
    except errors.StatusError as error:
        if not _REFUSED.search(str(error)):
            raise
        raise StoreError(connect_error(url, error)) from None


def open_tables(url: MetadataUrl | str) -> SqliteStore | None:
    """Opens an SQLite store for reading without ml_metadata; None if ml_metadata has to open the store."""
    if isinstance(url, str):
        url = metadata_url.parse(url)
    if url.path is None:
        return None
    try:
        return SqliteStore(url.path)
    except StoreError:  # ml_metadata reads it, or says what is wrong
        return None


def connect_error(url: MetadataUrl | str, error: Exception, said: str = "") -> str:
    """Says what is wrong with a store that ml_metadata cannot open, and what to do.

    Args:
        url: The store's.
        error: What ml_metadata raised.
        said: What it wrote to standard error meanwhile, which is all that there is about a failed log-in.
    """
    if isinstance(url, str):
        url = metadata_url.parse(url)
    text = f"{error} {said}"
    for pattern, explain in _EXPLANATIONS:
        found = re.search(pattern, text)
        if found:
            return f"{url}: {explain(url, *found.groups())}"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"{url} cannot be opened: {metadata_url.redacted(lines[0])}"


def _refused_login(url: MetadataUrl) -> str:
    given = url.password() is not None
    state = f"the password {url.password_source()}" if given else "no password"
    fix = "correct the user or the password" if given else f"put the password {url.password_source()}"
    text = f"the server refuses to log in {url.user!r} with {state}; {fix}"
    if url.scheme == "mysql":
        text += (
            ". ml_metadata can only use mysql_native_password, and the server must accept this user from "
            "this host"
        )
    return text


def _sqlite_place(url: MetadataUrl) -> str:
    path = os.path.abspath(url.path or "")
    if os.path.isdir(path):
        return f"that is a folder; name a file, such as {os.path.join(url.path or '', 'metadata.sqlite')}"
    if not os.path.isdir(os.path.dirname(path)):
        return f"the folder {os.path.dirname(path)} does not exist; create it, or name another"
    return "the SQLite file does not exist or cannot be read"


# Pattern of what ml_metadata or a database says → explanation. The first that matches counts.
_EXPLANATIONS: list[tuple[str, Callable[..., str]]] = [
    (
        r"database version (\d+) is (?:greater|older) than library version (\d+)",
        lambda url, stored, known: (
            f"another version of ml-metadata wrote it (schema {stored}, this one needs {known}); install that "
            "version, or name another store"
        ),
    ),
    (
        r"Access denied for user '[^']*'@'[^']*' to database|command denied to user"
        r"|permission denied (?:to create database|for (?:schema|table|database) \S+)",
        lambda url: (
            f"{url.user!r} must not create or use the database {url.database!r}; ask its administrator to "
            f"create it and to grant {url.user!r} all rights in it"
        ),
    ),
    (
        _NO_DATABASE,
        lambda url: (
            f"the server has no database {url.database!r}; a run creates it if {url.user!r} is allowed to"
        ),
    ),
    (
        r"password authentication failed|no password supplied|role \"[^\"]*\" does not exist"
        r"|mysql_real_connect failed",
        _refused_login,
    ),
    (
        r"PostgreSQL error: (?:FATAL: +)?([^\n]+)",
        lambda url, what: f"PostgreSQL reports: {what}",
    ),
    (
        r"(?i)failed to connect to all addresses|unavailable|Socket closed|handshake|unimplemented"
        r"|Method not found|deadline exceeded",
        lambda url: (
            "no ML Metadata gRPC server answers there; check the port, and whether the server uses TLS "
            "(grpcs:) or not (grpc:)"
        ),
    ),
    (
        r"database or disk is full",
        lambda url: "the disk is full; free some space, or put the store on another disk",
    ),
    (r"unable to open database file|disk I/O error", _sqlite_place),
    (
        r"file is not a database|readonly database|disk image is malformed|subset of tables in MLMD instance",
        lambda url: (
            "it is not an ML Metadata store, or it is damaged; restore a copy of it, or name another store"
        ),
    ),
    (
        r"database is locked",
        lambda url: "another program has locked the file; wait until it ends",
    ),
]


def _reach(url: MetadataUrl) -> None:
    """Checks that a server answers, which takes the drivers minutes, or which they do not report.

    Raises:
        StoreError: If none does.
    """
    place = url.options.get("socket")
    try:
        if place is None:
            socket.create_connection((url.host, url.port), timeout=_PATIENCE).close()
            return
        if url.scheme == "postgresql" and os.path.isdir(place):  # libpq looks in a folder
            place = os.path.join(place, f".s.PGSQL.{url.port}")
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_PATIENCE)
            probe.connect(place)
    except socket.gaierror:
        raise StoreError(f"{url}: the host {url.host!r} is not known; correct the name") from None
    except TimeoutError:
        raise StoreError(
            f"{url}: {url.host} does not answer at port {url.port}; check the address and the firewall"
        ) from None
    except OSError as error:
        where = f"at the socket {place}" if place else f"at port {url.port} of {url.host}"
        raise StoreError(
            f"{url}: no server answers {where} ({error.strerror}); start it, or correct the URL"
        ) from None


@contextmanager
def _standard_error() -> Iterator[Callable[[], str]]:
    """Captures what C++ code writes to standard error, which may be the only reason for a failure.

    Yields:
        A function that returns what has been written so far.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as kept:
        terminal = os.dup(2)
        os.dup2(kept.fileno(), 2)

        def written() -> str:
            kept.seek(0)
            return kept.read().decode("utf-8", "replace")

        try:
            yield written
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
