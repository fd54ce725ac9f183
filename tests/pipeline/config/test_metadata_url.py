"""URLs of metadata stores: taking them apart, and passwords."""

from __future__ import annotations

import contextlib
import stat
import textwrap
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ml_metadata.proto import metadata_store_pb2

from pipeline.config import config_file, metadata_url
from pipeline.config.metadata_url import PASSWORD_VARIABLE, StoreError, parse
from pipeline.config.problem import ConfigError


@pytest.fixture(autouse=True)
def _no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)


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
        ("mysql://u@h:0/d", "the URL has no port; write mysql://"),
        ("mysql://u@h/my-db", "'my-db' cannot be the name of the database, because ml_metadata does not"),
        ("mysql://u@h/d;drop", "'d;drop' cannot be the name of the database"),
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


KINDS = ["mysql", "postgresql", "grpc", "sqlite", "mysq", "zzz"]
odd = st.lists(
    st.sampled_from(["x", "/", "#", "?", "@", ":", "%40", "[", "]", "&", "=", " "]), max_size=3
).map("".join)


@example("mysql", "", "://", "/db")
@settings(max_examples=300, deadline=None)
@given(st.sampled_from(KINDS), odd, odd, st.sampled_from(["", "/db", ":80/db", "/db?ssl_ca=x", "/db?x"]))
def test_a_password_before_the_host_is_refused_and_never_repeated(
    kind: str, before: str, after: str, tail: str
) -> None:
    for slashes in ("://", "//"):
        text = f"{kind}{slashes}ann:{before}hunter2{after}@host{tail}"
        if text.startswith("sqlite:///"):
            continue  # all of it is the name of a file
        with pytest.raises(ValueError, match=r"\w") as refused:
            parse(text)
        assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "mysql://ann:hunter2@host/db",
        "mysql://ann:hunter2/db",
        "mysql://ann@host:hunter2/db",
        "mysql://ann@host/db?password=hunter2",
        "postgresql://ann@host/db?sslpassword=hunter2",
        "grpc://host:hunter2",
    ],
)
def test_a_password_elsewhere_is_not_repeated_in_the_problem(tmp_path: Path, text: str) -> None:
    config = tmp_path / "pipeline.yaml"
    config.write_text("name: a\n", encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        config_file.load(config, [f"run.metadata={text}"])
    (problem,) = [p for p in error.value.problems if p.key() == "run.metadata"]
    assert problem.file.startswith("--set run.metadata=")
    assert "hunter2" not in str(problem)


users = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x17F, exclude_categories=["C"]), min_size=1, max_size=9
)
hosts = st.sampled_from(["db.example", "127.0.0.1", "[::1]"])
bases = st.from_regex(r"[a-z_][a-z0-9_]{0,9}", fullmatch=True)


@settings(max_examples=100, deadline=None)
@given(users, hosts, st.integers(1, 65535), bases)
def test_what_a_url_names_is_what_a_driver_gets(user: str, host: str, port: int, base: str) -> None:
    place = f"{quote(user, safe='')}@{host}:{port}/{base}"
    bare = host.strip("[]")
    mysql = parse(f"mysql://{place}").connection_config().mysql
    assert (mysql.user, mysql.host, mysql.port, mysql.database) == (user, bare, port, base)
    postgresql = parse(f"postgresql://{place}").connection_config().postgresql
    assert (postgresql.host, postgresql.port, postgresql.dbname) == (bare, str(port), base)
    assert metadata_url.redacted(f"mysql://{place}") == f"mysql://{place}"


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([*(f"{kind}://" for kind in KINDS), "sqlite:///", ""]), st.text(max_size=30))
def test_any_text_is_a_url_or_refused_in_a_line(begin: str, rest: str) -> None:
    with contextlib.suppress(ValueError):
        parse(begin + rest)
        return
    with pytest.raises(ValueError, match=r"[^\n]; .*") as refused:
        parse(begin + rest)
    assert "\n" not in str(refused.value)


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
