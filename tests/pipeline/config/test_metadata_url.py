"""URLs of metadata stores, and opening them: on SQLite, MariaDB, PostgreSQL and gRPC, all of them real."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import os
import random
import socket
import sqlite3
import stat
import string
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2

from pipeline.config import config_file, metadata_url
from pipeline.config.metadata_url import PASSWORD_VARIABLE, StoreError, parse
from pipeline.config.problem import ConfigError
from pipeline.store.connection import MissingDatabase, connect, connect_error
from pipeline.store.postgresql import PostgresqlStore
from tests.servers.database import Database, free_port
from tests.servers.grpc_store import metadata_server

pytest_plugins = ["tests.servers.fixtures"]

REPOSITORY = Path(__file__).parents[3]
DATABASES = ["mariadb_server", "postgresql_server"]


@pytest.fixture(autouse=True)
def _no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)


@pytest.fixture
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The database server that a test is parametrized with, its password in the environment."""
    found = request.getfixturevalue(request.param)
    monkeypatch.setenv(PASSWORD_VARIABLE, found.password)
    return found


every_database = pytest.mark.parametrize("server", DATABASES, indirect=True)


# --- taking apart -------------------------------------------------------------------------------


def test_sqlite_urls_name_a_file_relative_or_absolute(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse("sqlite:///a/b.db").path == "a/b.db"
    assert parse("sqlite:////var/100% of it?.db").path == "/var/100% of it?.db"
    config = parse("sqlite:///a/b.db").connection_config(readonly=True)
    assert config.sqlite.filename_uri == str(tmp_path / "a/b.db")
    assert config.sqlite.connection_mode == metadata_store_pb2.SqliteMetadataSourceConfig.READONLY


def test_a_mysql_url_becomes_the_message_that_ml_metadata_takes(monkeypatch) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "s3cret")
    text = "mysql://ann%40corp@db.example:3307/ml?ssl_ca=/ca.pem&ssl_verify_server_cert=true"
    config = parse(text).connection_config().mysql
    assert (config.host, config.port, config.user) == ("db.example", 3307, "ann@corp")
    assert (config.database, config.password, config.socket) == ("ml", "s3cret", "")
    assert (config.ssl_options.ca, config.ssl_options.verify_server_cert) == ("/ca.pem", True)
    assert not config.skip_db_creation
    assert parse(text).connection_config(readonly=True).mysql.skip_db_creation


def test_a_mysql_socket_takes_the_place_of_the_host() -> None:
    config = parse("mysql://ann@/ml?socket=/run/my.sock").connection_config().mysql
    assert (config.socket, config.host, config.HasField("port")) == ("/run/my.sock", "", False)


def test_a_postgresql_url_is_quoted_as_libpq_wants_it(monkeypatch) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, r"it's a \ secret")
    url = parse("postgresql://ann@[::1]/ml?sslmode=disable")
    config = url.connection_config().postgresql
    assert (config.host, config.port, config.dbname, config.user) == ("::1", "5432", "ml", "ann")
    assert config.password == r"'it\'s a \\ secret'"
    assert config.ssloption.sslmode == "disable"


def test_a_grpc_url_lifts_the_limit_on_answers() -> None:
    config = parse("grpc://[::1]:8080?timeout=2.5").connection_config()
    assert (config.host, config.port, config.client_timeout_sec) == ("[::1]", 8080, 2.5)
    assert config.channel_arguments.max_receive_message_length == 2**31 - 1
    assert not config.HasField("ssl_config")
    assert parse("grpcs://host:8080").connection_config().HasField("ssl_config")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "metadata.db",
            "'metadata.db' is not a metadata store; write sqlite:///relative/path or sqlite:////",
        ),
        ("sqlite://a.db", "'sqlite://a.db' is not a metadata store; write sqlite:///relative/path"),
        ("sqlite:///", "'sqlite:///' is not a metadata store"),
        ("sqlite:///a?password_env=X", "an sqlite: URL has no options; remove the '?'"),
        (
            "postgres://u@h/d",
            "'postgres' is not a kind of metadata store; did you mean postgresql://user@host:port/database?",
        ),
        ("mysql+pymysql://u@h/d", "'mysql+pymysql' is not a kind of metadata store; did you mean mysql://"),
        ("mariadb://u@h/d", "'mariadb' is not a kind of metadata store; did you mean mysql://"),
        (
            "postgressql://u@h/d",
            "'postgressql' is not a kind of metadata store; did you mean postgresql://",
        ),
        ("zzz://u@h/d", "'zzz' is not a kind of metadata store; write sqlite:///relative/path or"),
        ("mysql://h:3306/d", "the URL has no user; write mysql://user@host:port/database"),
        ("mysql://u@/d", "the URL has no host; write mysql://user@host:port/database"),
        ("mysql://u@h", "the URL has no database; write mysql://user@host:port/database"),
        ("mysql://", "the URL has no user and no host and no database; write mysql://"),
        (
            "mysql://u@h:x/d",
            "the host or the port is not valid; write mysql://user@host:port/database, with",
        ),
        ("mysql://u@h:65536/d", "the host or the port is not valid; write mysql://"),
        ("mysql://u@h:0/d", "the URL has no port; write mysql://"),
        ("mysql://u@::1/d", "the host or the port is not valid; write mysql://"),
        ("mysql://u@[::1/d", "the host or the port is not valid; write mysql://"),
        ("mysql://u@h/my-db", "'my-db' cannot be the name of the database, because ml_metadata does not"),
        ("mysql://u@h/d;drop", "'d;drop' cannot be the name of the database"),
        ("postgresql://u@h/MyDb", "'MyDb' cannot be the name of the database"),
        ("mysql://u@h/d?sslca=/x", "a mysql: URL has no option 'sslca'; did you mean 'ssl_ca'?"),
        ("grpc://h:1?zzz=1", "a grpc: URL has no option 'zzz'; it has timeout"),
        ("mysql://u@h/d?ssl_ca=", "the option 'ssl_ca' needs exactly one value"),
        ("mysql://u@h/d?ssl_ca=a&ssl_ca=b", "the option 'ssl_ca' needs exactly one value"),
        ("mysql://u@h/d?skip_db_creation=yes", "the option 'skip_db_creation' must be true or false, not"),
        ("mysql://u@h/d?password_env=A&password_file=B", "password_env and password_file exclude"),
        ("mysql://u@h/d?socket=/s", "the URL names a host and a socket; remove one"),
        ("mysql://u@h/d#e", "'#' has no meaning in a mysql: URL; write %23"),
        ("grpc://h", "the URL has no port; write grpc://host:port"),
        ("grpc://:80", "the URL has no host; write grpc://host:port"),
        ("grpc://u@h:80", "a gRPC server has neither users nor databases; write grpc://host:port"),
        ("grpc://h:80/d", "a gRPC server has neither users nor databases; write grpc://host:port"),
        ("grpc://h:80?timeout=soon", "the option 'timeout' must be a number of seconds, not 'soon'"),
    ],
)
def test_a_url_that_names_no_store_is_refused_with_the_fix(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as refused:
        parse(text)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    "text",
    [
        "mysql://ann:hunter2@host/db",
        "postgresql://ann:hunter2@host:5432/db",
        "mysql://ann:hunter2/x@host/db",
        "mysql://ann:hunter2#x@host/db",
        "mysql://ann:x?hunter2@host/db",
        "mysql://ann:x@hunter2@host/db",
        "mysql://ann:hunter2/db",
        "mysql://ann@host:hunter2/db",
        "mysql://ann@host/db?password=hunter2",
        "postgresql://ann@host/db?sslpassword=hunter2",
        "grpc://ann:hunter2@host:80",
        "grpc://host:hunter2",
        "mysq://ann:hunter2@host/db",
        "sqlite://ann:hunter2@host/db",
        "mysql//ann:hunter2@host/db",
    ],
)
def test_a_password_in_a_url_is_refused_and_never_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as refused:
        parse(text)
    assert "hunter2" not in str(refused.value)
    config = tmp_path / "pipeline.yaml"
    config.write_text("name: a\n", encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        config_file.load(config, [f"run.metadata={text}"])
    (problem,) = [p for p in error.value.problems if p.key() == "run.metadata"]
    assert problem.file.startswith("--set run.metadata=")
    assert "hunter2" not in str(problem)


@pytest.mark.parametrize(
    "text",
    [
        "mysql://ann@host:3306/db?password_env=NAME&ssl_ca=/a:b@c",
        "postgresql://ann@[::1]:5432/db",
        "grpc://[::1]:80",
        "sqlite:////var/a:b.db",
        "run.metadata=sqlite:///a@b",
    ],
)
def test_a_url_without_a_password_is_quoted_as_it_is(text: str) -> None:
    assert metadata_url.redacted(text) == text


def test_the_message_for_a_password_says_where_it_goes() -> None:
    with pytest.raises(ValueError, match=r"\w") as refused:
        parse("mysql://ann:hunter2@host/db")
    assert str(refused.value) == (
        "a URL must not contain a password, because files and logs would keep it; write "
        "mysql://user@host:port/database, and set the environment variable PAREDOWN_METADATA_PASSWORD, or "
        "name another variable or a file with ?password_env=NAME or ?password_file=PATH"
    )


# --- passwords ----------------------------------------------------------------------------------


def test_a_password_comes_from_the_variable_that_is_named_or_the_default(monkeypatch) -> None:
    assert parse("mysql://u@h/d").password() is None
    monkeypatch.setenv(PASSWORD_VARIABLE, "default")
    monkeypatch.setenv("OTHER", "other")
    assert parse("mysql://u@h/d").password() == "default"
    assert parse("mysql://u@h/d?password_env=OTHER").password() == "other"
    assert "other" not in repr(parse("mysql://u@h/d?password_env=OTHER"))


def test_a_variable_that_is_not_set_is_an_error_when_connecting_only() -> None:
    url = parse("mysql://u@h/d?password_env=NOT_SET")
    with pytest.raises(StoreError, match="the environment variable NOT_SET, which password_env names, is"):
        url.connection_config()


def test_a_password_file_is_read_without_its_line_end(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(" s3cret \n", encoding="utf-8")
    file.chmod(0o600)
    assert parse(f"mysql://u@h/d?password_file={file}").password() == " s3cret "


def test_a_password_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("s3cret", encoding="utf-8")
    for mode in (0o640, 0o604, 0o620):
        file.chmod(mode)
        with pytest.raises(StoreError, match=f"other users can read the secret in {file}; run chmod 600"):
            parse(f"mysql://u@h/d?password_file={file}").password()
    assert stat.S_IMODE(file.stat().st_mode) == 0o620


def test_a_password_file_that_is_not_there_or_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be read: No such file or directory"):
        parse(f"mysql://u@h/d?password_file={tmp_path / 'none'}").password()
    file = tmp_path / "password"
    file.touch(0o600)
    with pytest.raises(StoreError, match="is empty; write the password into it"):
        parse(f"mysql://u@h/d?password_file={file}").password()


def test_a_config_with_a_server_needs_neither_password_nor_server(tmp_path: Path) -> None:
    text = """
        name: digits
        data: {path: data, label: label}
        model: {module: model}
        candidates: {int8: [{convert: {quantization: int8}}]}
        gate: {size: {max_ratio: 0.3}, accuracy: {metric: SparseCategoricalAccuracy, min: 0.5}}
        push: {directory: serving}
        run: {metadata: "mysql://u@nohost.invalid/d?password_env=NOT_SET"}
    """
    path = tmp_path / "pipeline.yaml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    config = config_file.load(path).config
    assert config.metadata_url == "mysql://u@nohost.invalid/d?password_env=NOT_SET"
    assert config.metadata_path is None


# --- opening ------------------------------------------------------------------------------------


def put(store: Any, name: str, text: str) -> Any:
    """Writes a context with a text and reads it back."""
    type_id = store.put_context_type(metadata_store_pb2.ContextType(name="note"))
    context = metadata_store_pb2.Context(type_id=type_id, name=name)
    context.custom_properties["text"].string_value = text
    store.put_contexts([context])
    assert context.custom_properties["text"].string_value == text  # the caller's own is left alone
    return store.get_context_by_type_and_name("note", name)


TEXTS = {
    "plain": "a 'quoted' \"text\", 100% $0 {1}",
    "empty": "",
    "unicode": "größe × 🙂 ’",
    "backslash": json.dumps({"inner": json.dumps({"regex": "conv\\d"})}),
    "lines": "a\nb\tc",
    "too long for an index": "".join(random.Random(1).choices(string.ascii_letters, k=100_000)),
    "just not too long": "".join(random.Random(2).choices(string.ascii_letters, k=2000)),
    "long in bytes": "ü" * 1500,
}


@pytest.mark.parametrize("kind", ["sqlite", *DATABASES, "grpc"])
def test_any_text_comes_back_as_it_was_written(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path / 'store'}"
    elif kind == "grpc":
        url = request.getfixturevalue("grpc_url")
    else:
        server = request.getfixturevalue(kind)
        monkeypatch.setenv(PASSWORD_VARIABLE, server.password)
        url = server.url("texts")
    store = connect(url, write=True)
    for name, text in TEXTS.items():
        assert put(store, name, text).custom_properties["text"].string_value == text, name
    again = connect(url)
    found = {c.name: c.custom_properties["text"].string_value for c in again.get_contexts_by_type("note")}
    assert found == TEXTS


def test_ml_metadata_alone_cannot_keep_these_texts_in_postgresql(
    postgresql_server: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason for PostgresqlStore: when this fails, it can go."""
    monkeypatch.setenv(PASSWORD_VARIABLE, postgresql_server.password)
    url = postgresql_server.url("bare")
    connect(url, write=True)
    bare = metadata_store.MetadataStore(parse(url).connection_config())
    for name, reason in (("backslash", "syntax error"), ("too long for an index", "index row")):
        with pytest.raises(Exception, match=reason):
            put(bare, name, TEXTS[name])


def test_postgresql_keeps_short_texts_as_they_are_and_others_beside_them(
    postgresql_server: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, postgresql_server.password)
    store = connect(postgresql_server.url("columns"), write=True)
    put(store, "plain", TEXTS["plain"])
    put(store, "backslash", TEXTS["backslash"])
    rows = postgresql_server.ask(
        "SELECT c.name, p.string_value, p.proto_value IS NULL FROM context c JOIN contextproperty p "
        "ON p.context_id = c.id ORDER BY c.id",
        "columns",
    )
    assert rows == [["plain", TEXTS["plain"], "t"], ["backslash", "", "f"]]


def test_postgresql_store_changes_nodes_wherever_a_call_has_them(
    postgresql_server: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, postgresql_server.password)
    store = connect(postgresql_server.url("nodes"), write=True)
    assert isinstance(store, PostgresqlStore)
    text = TEXTS["backslash"]
    artifact = metadata_store_pb2.Artifact(
        type_id=store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Model")), uri="/m"
    )
    execution = metadata_store_pb2.Execution(
        type_id=store.put_execution_type(metadata_store_pb2.ExecutionType(name="Trainer"))
    )
    context = metadata_store_pb2.Context(
        type_id=store.put_context_type(metadata_store_pb2.ContextType(name="run")), name="1"
    )
    for node in (artifact, execution, context):
        node.custom_properties["text"].string_value = text
        node.custom_properties["number"].int_value = 7
    event = metadata_store_pb2.Event(type=metadata_store_pb2.Event.OUTPUT)
    execution_id, (artifact_id,), (context_id,) = store.put_execution(
        execution, [(artifact, event)], [context]
    )
    found = [
        *store.get_artifacts_by_id([artifact_id]),
        *store.get_artifacts_by_uri("/m"),
        *store.get_executions_by_context(context_id),
        *store.get_contexts_by_execution(execution_id),
    ]
    values = [
        (node.custom_properties["text"].string_value, node.custom_properties["number"].int_value)
        for node in found
    ]
    assert values == [(text, 7)] * 4
    (seen,) = store.get_events_by_execution_ids([execution_id])
    assert (seen.artifact_id, seen.type) == (artifact_id, metadata_store_pb2.Event.OUTPUT)


def test_localhost_is_reached_over_tcp(mariadb_server: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """MySQL's client looks for a socket file where the host is called localhost."""
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
def test_a_wrong_or_missing_password_is_told_in_a_sentence(
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


def test_a_user_who_may_not_write_tables_learns_what_is_missing(
    postgresql_server: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgresql_server.ask("CREATE USER guest PASSWORD 'w'")
    postgresql_server.ask("CREATE DATABASE others")
    monkeypatch.setenv("GUEST", "w")
    url = f"postgresql://guest@127.0.0.1:{postgresql_server.port}/others?password_env=GUEST"
    with pytest.raises(StoreError, match="'guest' must not create or use the database 'others'"):
        connect(url, write=True)


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
def test_a_server_that_is_not_there_is_told_apart(form: str) -> None:
    nobody = form.format(f"127.0.0.1:{free_port()}")
    with pytest.raises(
        StoreError, match=r"no server answers at port \d+ of 127.0.0.1 \(Connection refused\)"
    ):
        connect(nobody, write=True)
    with pytest.raises(StoreError, match=r"the host 'nohost\.invalid' is not known"):
        connect(form.format("nohost.invalid:1"), write=True)


def test_a_socket_that_is_not_there_is_told() -> None:
    with pytest.raises(StoreError, match=r"no server answers at the socket /none/s \(No such file"):
        connect("mysql://u@/d?socket=/none/s", write=True)


def test_postgresql_without_tls_in_the_library_is_told(
    postgresql_server: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, postgresql_server.password)
    with pytest.raises(StoreError, match=r"PostgreSQL reports: .*SSL support is not compiled in"):
        connect(postgresql_server.url("tls", "?sslmode=require"), write=True)


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
def test_a_damaged_sqlite_store_is_told_without_sql(
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


def test_what_postgresql_says_on_connecting_is_not_lost(
    postgresql_server: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ml_metadata's own error is `connection pointer is NULL`."""
    monkeypatch.setenv(PASSWORD_VARIABLE, postgresql_server.password)
    postgresql_server.ask("CREATE DATABASE closed ALLOW_CONNECTIONS false")
    with pytest.raises(
        StoreError, match='PostgreSQL reports: database "closed" is not currently accepting'
    ):
        connect(postgresql_server.url("closed"), write=True)


def test_an_error_that_nobody_foresaw_is_passed_on_in_one_line() -> None:
    error = RuntimeError("disk on fire at mysql://u:hunter2@h/d\nstack")
    assert connect_error("mysql://u@h/d", error) == (
        "mysql://u@h/d cannot be opened: disk on fire at mysql://…@h/d"
    )
    assert (
        connect_error("mysql://u@h/d", RuntimeError("")) == "mysql://u@h/d cannot be opened: RuntimeError"
    )


@every_database
def test_three_runs_that_begin_at_once_make_one_store(server: Database) -> None:
    code = """
        import sys
        from pipeline.store.connection import connect
        from ml_metadata.proto import metadata_store_pb2 as pb
        name, *urls = sys.argv[1:]
        for url in urls:
            sys.stdin.readline()
            store = connect(url, write=True)
            kind = store.put_context_type(pb.ContextType(name="run"))
            store.put_contexts([pb.Context(type_id=kind, name=name)])
            print("done", flush=True)
    """
    urls = [server.url(f"race{number}") for number in range(8)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), name, *urls],
            cwd=REPOSITORY,
            env=dict(os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in "abc"
    ]
    for url in urls:  # several times: who comes first differs
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        for process in processes:
            assert process.stdout is not None and process.stderr is not None
            assert process.stdout.readline() == "done\n", process.stderr.read()
        assert sorted(context.name for context in connect(url, write=True).get_contexts()) == list("abc")
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0


@pytest.mark.parametrize(
    "said",
    [
        'PostgreSQL metadata source error: ERROR:  database "race" already exists',
        'ERROR:  duplicate key value violates unique constraint "pg_database_datname_index"',
        'ERROR:  source database "template1" is being accessed by other users',
        'ERROR:  relation "type" already exists',
        "ERROR:  tuple concurrently updated",
        "Deadlock found when trying to get lock; try restarting transaction",
    ],
)
def test_whoever_comes_second_at_a_new_database_tries_again(
    said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from ml_metadata.metadata_store import metadata_store

    opened, real = [], metadata_store.MetadataStore

    def second(config: Any) -> Any:
        opened.append(config)
        if len(opened) == 1:
            raise RuntimeError(said)
        return real(config)

    monkeypatch.setattr(metadata_store, "MetadataStore", second)
    assert connect(f"sqlite:///{tmp_path}/store.sqlite", write=True).get_contexts() == []
    assert len(opened) == 2


# --- gRPC ---------------------------------------------------------------------------------------


def test_a_grpc_server_gives_answers_of_more_than_four_megabytes(grpc_url: str) -> None:
    store = connect(grpc_url, write=True)
    put(store, "long", "x" * 6_000_000)
    (context,) = store.get_contexts()
    assert len(context.custom_properties["text"].string_value) == 6_000_000


def test_a_grpc_error_keeps_its_kind(grpc_url: str) -> None:
    from ml_metadata import errors

    store = connect(grpc_url, write=True)
    put(store, "once", "")
    with pytest.raises(errors.AlreadyExistsError):
        put(store, "once", "")


def test_what_is_no_grpc_server_is_told() -> None:
    class Other(grpc.GenericRpcHandler):
        def service(self, details: Any) -> None:
            return None

    from concurrent.futures import ThreadPoolExecutor

    other = grpc.server(ThreadPoolExecutor(1), handlers=[Other()])
    port = other.add_insecure_port("127.0.0.1:0")
    other.start()
    try:
        with pytest.raises(StoreError, match="no ML Metadata gRPC server answers there; check the port"):
            connect(f"grpc://127.0.0.1:{port}", write=True)
    finally:
        other.stop(None)


def test_what_speaks_no_grpc_at_all_is_told() -> None:
    import threading

    def hang_up() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=hang_up, daemon=True).start()
        with pytest.raises(StoreError, match="no ML Metadata gRPC server answers there"):
            connect(f"grpc://127.0.0.1:{listening.getsockname()[1]}?timeout=5", write=True)
        listening.shutdown(socket.SHUT_RDWR)


def test_grpcs_speaks_tls_with_a_server_whose_authority_is_named(tmp_path: Path) -> None:
    key, certificate = self_signed()
    authority = tmp_path / "ca.pem"
    authority.write_bytes(certificate)
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(tmp_path / "store")
    config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    credentials = grpc.ssl_server_credentials([(key, certificate)])
    with metadata_server(config, credentials) as port:
        url = f"grpcs://127.0.0.1:{port}?ssl_ca={authority}&timeout=5"
        assert put(connect(url, write=True), "a", "text").name == "a"
        for wrong in (f"grpc://127.0.0.1:{port}?timeout=5", f"grpcs://127.0.0.1:{port}?timeout=5"):
            with pytest.raises(StoreError, match="check the port, and whether the server uses TLS"):
                connect(wrong, write=True)
    with pytest.raises(StoreError, match=r"none\.pem cannot be read: No such file"):
        connect(f"grpcs://127.0.0.1:{port}?ssl_ca={tmp_path}/none.pem", write=True)


def self_signed() -> tuple[bytes, bytes]:
    """A key and a certificate for 127.0.0.1, which is its own authority; both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    today = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, certificate.public_bytes(serialization.Encoding.PEM)
