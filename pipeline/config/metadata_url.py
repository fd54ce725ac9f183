"""The URL of the metadata store, as `run.metadata` and `--metadata` have it.

A URL names an SQLite file, a MySQL, MariaDB or PostgreSQL database, or an ML Metadata gRPC server. It never
contains a password: that is read from the environment or a file when connecting.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from components.common.base.errors import ParedownError
from components.common.base.near_names import closest, nearest
from pipeline.base import secret_file
from pipeline.base.secret_file import SecretFileError

if TYPE_CHECKING:
    from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig, MetadataStoreClientConfig

PASSWORD_VARIABLE = "PAREDOWN_METADATA_PASSWORD"

_FORMS = {
    "sqlite": "sqlite:///relative/path or sqlite:////absolute/path",
    "mysql": "mysql://user@host:port/database",
    "postgresql": "postgresql://user@host:port/database",
    "grpc": "grpc://host:port",
    "grpcs": "grpcs://host:port",
}
_ALIASES = {"postgres": "postgresql", "psql": "postgresql", "pg": "postgresql", "mariadb": "mysql"}
_PORTS = {"mysql": 3306, "postgresql": 5432}
_PASSWORD = ("password_env", "password_file")
_FLAGS = ("skip_db_creation", "ssl_verify_server_cert")

# Option of a URL → field of ml_metadata's SSL message.
_SSL = {
    "mysql": {
        "ssl_ca": "ca",
        "ssl_capath": "capath",
        "ssl_cert": "cert",
        "ssl_key": "key",
        "ssl_cipher": "cipher",
        "ssl_verify_server_cert": "verify_server_cert",
    },
    "postgresql": {name: name for name in ("sslmode", "sslrootcert", "sslcert", "sslkey")},
    "grpcs": {"ssl_ca": "custom_ca", "ssl_cert": "server_cert", "ssl_key": "client_key"},
}
_OPTIONS = {
    "mysql": (*_PASSWORD, "socket", "skip_db_creation", *_SSL["mysql"]),
    "postgresql": (*_PASSWORD, "socket", "skip_db_creation", *_SSL["postgresql"]),
    "grpc": ("timeout",),
    "grpcs": ("timeout", *_SSL["grpcs"]),
}

# ml_metadata writes the name into SQL as it is. PostgreSQL would fold capitals of one that it creates.
_DATABASE = {"mysql": r"[A-Za-z0-9_$]*[A-Za-z_$][A-Za-z0-9_$]*", "postgresql": r"[a-z_][a-z0-9_$]*"}

# A secret after `//user:`, up to the last `@`; in place of a port; and in an option.
_SECRETS = (
    re.compile(r"(//)[^\s@]*:\S*(?=@)"),
    re.compile(r"(//(?:[^/\s:@]*@)?[^/\s:@\[]*:)(?!\d+(?:[/?#\s]|$))[^/\s]+"),
    re.compile(r"(?i)([?&](?:ssl)?(?:password|passwd|pwd)=)[^&\s]*"),
)


class StoreError(ParedownError):
    """A metadata store that cannot be opened. The text shows no password."""


@dataclass(frozen=True)
class MetadataUrl:
    """The parts of a metadata store's URL.

    Attributes:
        text: The URL as it was written.
        scheme: `sqlite`, `mysql`, `postgresql`, `grpc` or `grpcs`.
        path: The SQLite file; None for servers.
        host: The server's name or address; empty if the URL names a socket.
        port: The server's TCP port.
        user: The database user.
        database: The database's name.
        options: The part after `?`.
    """

    text: str
    scheme: str
    path: str | None = None
    host: str = ""
    port: int = 0
    user: str = ""
    database: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text

    def connection_config(self, readonly: bool = False) -> ConnectionConfig | MetadataStoreClientConfig:
        """The message that ml_metadata connects with.

        Args:
            readonly: Whether an SQLite file is opened read-only, and a database that does not exist is not
                created.

        Raises:
            StoreError: If the password, or a file that the URL names, cannot be read.
        """
        from ml_metadata.proto import metadata_store_pb2

        if self.scheme in ("grpc", "grpcs"):
            return self._client_config()
        config = metadata_store_pb2.ConnectionConfig()
        if self.path is not None:
            modes = metadata_store_pb2.SqliteMetadataSourceConfig
            config.sqlite.filename_uri = os.path.abspath(self.path)
            config.sqlite.connection_mode = modes.READONLY if readonly else modes.READWRITE_OPENCREATE
            return config
        if self.scheme == "mysql":
            self._fill_mysql(config.mysql)
            config.mysql.skip_db_creation = readonly or self._flag("skip_db_creation")
        else:
            self._fill_postgresql(config.postgresql)
            config.postgresql.skip_db_creation = readonly or self._flag("skip_db_creation")
        return config

    def password(self) -> str | None:
        """The password, from the environment or a file; None if there is none.

        Raises:
            StoreError: If the URL names a variable or a file that does not have it.
        """
        name = self.options.get("password_env")
        if name and not os.environ.get(name):
            raise StoreError(
                f"{self}: the environment variable {name}, which password_env names, is not set; "
                f"export {name}"
            )
        if "password_file" in self.options:
            return _password_in(self.options["password_file"], self.text)
        return os.environ.get(name or PASSWORD_VARIABLE) or None

    def password_source(self) -> str:
        """A text for where the password comes from."""
        if "password_file" in self.options:
            return f"in {self.options['password_file']}"
        return f"in the environment variable {self.options.get('password_env', PASSWORD_VARIABLE)}"

    def _flag(self, name: str) -> bool:
        return self.options.get(name) == "true"

    def _fill_mysql(self, config: ConnectionConfig) -> None:
        if "socket" in self.options:
            config.socket = self.options["socket"]
        else:
            # MySQL's client would look for a socket file at its default place.
            config.host = "127.0.0.1" if self.host == "localhost" else self.host
            config.port = self.port
        config.user, config.database = self.user, self.database
        password = self.password()
        if password is not None:
            config.password = password
        for name, key in _SSL["mysql"].items():
            if name in self.options:
                value = self._flag(name) if name in _FLAGS else self.options[name]
                setattr(config.ssl_options, key, value)

    def _fill_postgresql(self, config: ConnectionConfig) -> None:
        config.host = _conninfo(self.options.get("socket", self.host))
        config.port, config.user = str(self.port), _conninfo(self.user)
        config.dbname = self.database
        password = self.password()
        if password is not None:
            config.password = _conninfo(password)
        for name, key in _SSL["postgresql"].items():
            if name in self.options:
                setattr(config.ssloption, key, _conninfo(self.options[name]))

    def _client_config(self) -> MetadataStoreClientConfig:
        from ml_metadata.proto import metadata_store_pb2

        config = metadata_store_pb2.MetadataStoreClientConfig()
        config.host = f"[{self.host}]" if ":" in self.host else self.host
        config.port = self.port
        # gRPC's default limit of 4 MB is less than a large store's answers.
        config.channel_arguments.max_receive_message_length = 2**31 - 1
        if "timeout" in self.options:
            config.client_timeout_sec = float(self.options["timeout"])
        if self.scheme == "grpcs":
            config.ssl_config.SetInParent()
            for name, key in _SSL["grpcs"].items():
                if name in self.options:
                    setattr(config.ssl_config, key, _text_in(self.options[name], self.text))
        return config


def parse(text: str) -> MetadataUrl:
    """Splits a URL into its parts; reads no password and asks no server.

    Args:
        text: As `run.metadata` has it.

    Raises:
        ValueError: If it does not name a metadata store, or contains a password; the text says what to write.
    """
    scheme, separator, rest = text.partition("://")
    # Any other character before `://` belongs to a user or a password: what comes before may lack its colon.
    if scheme in ("sqlite", "") or not separator or not re.fullmatch(r"[A-Za-z0-9+.-]+", scheme):
        return _sqlite(text)
    if scheme not in _FORMS:
        raise ValueError(_unknown_scheme(scheme))
    form = _FORMS[scheme]
    if _has_password(scheme, rest):
        raise ValueError(
            f"a URL must not contain a password, because files and logs would keep it; write {form}, and set "
            f"the environment variable {PASSWORD_VARIABLE}, or name another variable or a file with "
            "?password_env=NAME or ?password_file=PATH"
        )
    try:
        parts = urlsplit(text)
        port = _PORTS.get(scheme) if parts.port is None else parts.port
    except ValueError:  # whose text may repeat a password
        raise ValueError(
            f"the host or the port is not valid; write {form}, with an IPv6 address in brackets"
        ) from None
    if "#" in text:
        raise ValueError(f"'#' has no meaning in a {scheme}: URL; write %23 if a name contains it")
    options = _options(scheme, parts.query)
    host, user, database = parts.hostname or "", unquote(parts.username or ""), unquote(parts.path[1:])
    is_grpc = scheme.startswith("grpc")
    missing = [
        name
        for name, is_missing in {
            "user": not is_grpc and not user,
            "host": not host and "socket" not in options,
            "port": not port,
            "database": not is_grpc and not database,
        }.items()
        if is_missing
    ]
    if missing:
        raise ValueError(f"the URL has no {' and no '.join(missing)}; write {form}")
    if is_grpc and (user or database):
        raise ValueError(f"a gRPC server has neither users nor databases; write {form}")
    if host and "socket" in options:
        raise ValueError("the URL names a host and a socket; remove one")
    if not is_grpc and not re.fullmatch(_DATABASE[scheme], database):
        letters = "lower-case letters" if scheme == "postgresql" else "letters"
        raise ValueError(
            f"{database!r} cannot be the name of the database, because ml_metadata does not quote it; use "
            f"{letters}, digits and '_', with a letter first"
        )
    return MetadataUrl(text, scheme, None, host, port or 0, user, database, MappingProxyType(options))


def _has_password(scheme: str, rest: str) -> bool:
    """Whether a URL without its scheme has `user:password@`, whatever characters the password has."""
    before, at, _ = re.sub(r"^\[[^\]]*\]", "", rest).partition("@")
    _, colon, after = before.partition(":")
    # A gRPC server has a port and no user: what follows it may have an @.
    is_port = scheme.startswith("grpc") and re.match(r"\d+[/?#]", after)
    return bool(at and colon and not is_port)


def redacted(text: str) -> str:
    """A text without what may be passwords in URLs, for messages that quote user input."""
    for place in _SECRETS:
        text = place.sub(r"\1…", text)
    return text


def _sqlite(text: str) -> MetadataUrl:
    path = text.removeprefix("sqlite:///")
    if path in ("", text):
        # All of the text is the URL: unlike in a log, a password in it may have spaces.
        shown = redacted(re.sub(r"(?s)(//[^@]*?:).*@", r"\1…@", text))
        raise ValueError(
            f"{shown!r} is not a metadata store; write {_FORMS['sqlite']}, {_FORMS['mysql']}, "
            f"{_FORMS['postgresql']} or {_FORMS['grpc']}"
        )
    # Any other '?' belongs to the name of the file or of a folder.
    if re.search(rf"\?({'|'.join(_OPTIONS['mysql'])})=", path):
        raise ValueError("an sqlite: URL has no options; remove the '?' and everything after it")
    return MetadataUrl(text, "sqlite", path)


def _unknown_scheme(scheme: str) -> str:
    kind = scheme.lower().split("+")[0]
    near = _ALIASES.get(kind) or closest(kind, _FORMS)
    fix = f"did you mean {_FORMS[near]}?" if near else f"write {', '.join(_FORMS.values())}"
    return f"{scheme!r} is not a kind of metadata store; {fix}"


def _options(scheme: str, query: str) -> dict[str, str]:
    """The part after `?`.

    Raises:
        ValueError: If the scheme does not have a key, or its value is not valid.
    """
    known = _OPTIONS[scheme]
    given = parse_qs(query, keep_blank_values=True)
    for key, values in given.items():
        if key not in known:
            fix = nearest(key, known) or f"; it has {', '.join(known)}"
            raise ValueError(f"a {scheme}: URL has no option {key!r}{fix}")
        if len(values) != 1 or not values[0]:
            raise ValueError(f"the option {key!r} needs exactly one value")
        if key in _FLAGS and values[0] not in ("true", "false"):
            raise ValueError(f"the option {key!r} must be true or false, not {values[0]!r}")
        if key == "timeout" and not re.fullmatch(r"\d+(\.\d+)?", values[0]):
            raise ValueError(f"the option 'timeout' must be a number of seconds, not {values[0]!r}")
    if given.keys() >= set(_PASSWORD):
        raise ValueError("password_env and password_file exclude each other; remove one")
    return {key: values[0] for key, values in given.items()}


def _conninfo(value: str) -> str:
    """A value in the quotes of libpq's connection strings, which ml_metadata does not add.

    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-KEYWORD-VALUE
    """
    if re.fullmatch(r"[\w./:@-]+", value):
        return value
    return "'" + re.sub(r"(['\\])", r"\\\1", value) + "'"


def _text_in(path: str, url: str) -> str:
    try:
        return secret_file.read(path, private=False)
    except SecretFileError as error:
        raise StoreError(f"{url}: {error}") from None


def _password_in(path: str, url: str) -> str:
    try:
        password = secret_file.read(path).rstrip("\r\n")
    except SecretFileError as error:
        raise StoreError(f"{url}: {error}") from None
    if not password:
        raise StoreError(f"{url}: {path}, which password_file names, is empty; write the password into it")
    return password
