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

if TYPE_CHECKING:
    from ml_metadata.metadata_store import MetadataStore

_PATIENCE = 5.0  # seconds that a server has to answer
_ATTEMPTS = 10  # at a database that another run is just making; TFX's own number

# What databases say of two that make the same database or tables at once.
_RACE = re.compile(
    r"concurrent connection to the empty|duplicate key value violates unique constraint|Deadlock found"
    r"|(?:database|relation|type) \"[^\"]*\" already exists|is being accessed by other users"
    r"|tuple concurrently updated"
)


class MissingDatabase(StoreError):
    """A database that is not there, and was not to be made."""


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
            kind = MissingDatabase if _missing(f"{failure} {words}") else StoreError
            raise kind(connect_error(url, failure, words)) from None
        time.sleep(random.random())
    if url.scheme == "postgresql":
        from pipeline.store.postgresql import PostgresqlStore

        return cast("MetadataStore", PostgresqlStore(store))
    return store


def connect_error(url: MetadataUrl | str, error: Exception, said: str = "") -> str:
    """What is wrong with a store that ml_metadata cannot open, and what to do, in one sentence.

    Args:
        url: The store's.
        error: What ml_metadata raised.
        said: What it wrote to standard error meanwhile; of a failed log-in nothing else tells.
    """
    if isinstance(url, str):
        url = metadata_url.parse(url)
    text = f"{error} {said}"
    for pattern, explain in _EXPLANATIONS:
        found = re.search(pattern, text)
        if found:
            return f"{url}: {explain(url, *found.groups())}"
    if url.scheme == "mysql" and "mysql_real_connect failed" in text:
        return f"{url}: {_refused_login(url)}"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"{url} cannot be opened: {metadata_url.redacted(lines[0])}"


def _refused_login(url: MetadataUrl, *_: str) -> str:
    given = url.password() is not None
    state = f"the password {url.password_source()}" if given else "no password"
    fix = "correct one of them" if given else f"put the password {url.password_source()}"
    text = f"the server does not let {url.user!r} in with {state}; {fix}"
    if url.scheme == "mysql":
        text += (
            "; ml_metadata logs in by mysql_native_password only, and the server must accept this user "
            "from this host"
        )
    return text


_Explain = Callable[..., str]

_EXPLANATIONS: list[tuple[str, _Explain]] = [
    (
        r"database version (\d+) is greater than library version (\d+)",
        lambda url, stored, known: (
            f"a newer ml-metadata wrote it (schema {stored}, this one knows {known}); install that one's "
            "version, or name another store"
        ),
    ),
    (
        r"database version (\d+) is older than library version (\d+)",
        lambda url, stored, known: (
            f"an older ml-metadata wrote it (schema {stored}, this one needs {known}); back it up and open "
            "it once with ml_metadata's enable_upgrade_migration, or name another store"
        ),
    ),
    (
        r"Access denied for user '[^']*'@'[^']*' to database",
        lambda url: (
            f"{url.user!r} may not use the database {url.database!r}, or not create it; have its "
            f"administrator run CREATE DATABASE {url.database}; GRANT ALL ON {url.database}.* TO the user"
        ),
    ),
    (
        r"permission denied to create database",
        lambda url: (
            f"there is no database {url.database!r}, and {url.user!r} may not create it; have its "
            f"administrator run CREATE DATABASE {url.database} OWNER {url.user}"
        ),
    ),
    (
        r"permission denied for (?:schema|table|database) \S+|command denied to user",
        lambda url: (
            f"{url.user!r} may not read or write the tables in the database {url.database!r}; have its "
            "administrator grant it all rights there"
        ),
    ),
    (
        r"Unknown database|database \"[^\"]*\" does not exist",
        lambda url: (
            f"there is no database {url.database!r} on the server; a run makes it, or its administrator"
        ),
    ),
    (
        r"password authentication failed|no password supplied|role \"[^\"]*\" does not exist",
        _refused_login,
    ),
    (
        r"no pg_hba.conf entry for ([^\n]*)",
        lambda url, who: f"the server's pg_hba.conf lets nobody in from here ({who}); have a line added",
    ),
    (
        r"SSL support is not compiled in|server requires SSL",
        lambda url: (
            "this build of ml-metadata has no TLS for PostgreSQL; leave out the ssl options and reach the "
            "server through a tunnel, or through an ML Metadata gRPC server"
        ),
    ),
    (
        r"PostgreSQL error: (?:FATAL: +)?([^\n]+)",
        lambda url, what: f"the server refuses to connect: {what}",
    ),
    (
        r"(?i)failed to connect to all addresses|unavailable|Socket closed|handshake",
        lambda url: (
            "something answers there, but not as an ML Metadata gRPC server; check the port, and whether "
            "the server speaks TLS (grpcs:) or does not (grpc:)"
        ),
    ),
    (
        r"StatusCode.UNIMPLEMENTED|Method not found|unimplemented",
        lambda url: "the gRPC server there is not an ML Metadata server; check the port",
    ),
    (
        r"(?i)deadline exceeded",
        lambda url: "the gRPC server does not answer in the time that ?timeout= gives it",
    ),
    (
        r"unable to open database file",
        lambda url: (
            "there is no such SQLite file, or it cannot be opened"
            if os.path.isdir(os.path.dirname(os.path.abspath(url.path or "")))
            else "there is no such folder; write a path in one that is there"
        ),
    ),
    (
        r"file is not a database|readonly database",
        lambda url: "that file is not an ML Metadata store; name another",
    ),
    (
        r"database disk image is malformed|subset of tables in MLMD instance",
        lambda url: (
            "the store is damaged, or not all of its tables are there; put back a copy of it, or name another"
        ),
    ),
    (
        r"disk I/O error",
        lambda url: (
            f"that is a folder; name the SQLite file, such as {os.path.join(url.path or '', 'metadata.sqlite')}"
            if os.path.isdir(url.path or "")
            else "the SQLite file cannot be read; check the disk that it is on"
        ),
    ),
    (
        r"database is locked",
        lambda url: "another program has the file locked; wait until it ends",
    ),
]


def _missing(text: str) -> bool:
    return bool(re.search(r"Unknown database|database \"[^\"]*\" does not exist", text))


def _reach(url: MetadataUrl) -> None:
    """Tries whether a server is there, which the drivers take minutes for or do not tell.

    Raises:
        StoreError: Where it is not.
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
        raise StoreError(f"{url}: no host is called {url.host!r}; correct the name") from None
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
    """Keeps what C++ code writes to standard error, which may be all that tells why it failed.

    Yields:
        Reads what has been written up to then.
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
