"""Where the metadata store is: what `run.metadata` and `--metadata` say.

A URL names an SQLite file, a MySQL, MariaDB or PostgreSQL database, or an ML Metadata gRPC server. It
never holds a password: that is read from the environment or a file at the moment of connecting.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

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

# Option of a URL → field of ml_metadata's message for it, in its SSL message where there is one.
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

# A secret behind `//user:`, up to the last `@`; where a port belongs, and is none; and in an option.
_SECRETS = (
    re.compile(r"(//)[^\s@]*:\S*(?=@)"),
    re.compile(r"(//(?:[^/\s:@]*@)?[^/\s:@\[]*:)(?!\d+(?:[/?#\s]|$))[^/\s]+"),
    re.compile(r"(?i)([?&](?:ssl)?(?:password|passwd|pwd)=)[^&\s]*"),
)


class StoreError(Exception):
    """A metadata store that cannot be opened; the text says why, and shows no password."""


@dataclass(frozen=True)
class MetadataUrl:
    """A metadata store's URL, taken apart.

    Attributes:
        text: The URL as it was written.
        scheme: `sqlite`, `mysql`, `postgresql`, `grpc` or `grpcs`.
        path: The SQLite file; None for servers.
        host: The server's name or address; empty where a socket is named.
        port: The server's TCP port.
        user: By which a database knows its visitor.
        database: The database's name.
        options: What stands behind `?`.
    """

    text: str
    scheme: str
    path: str | None = None
    host: str = ""
    port: int = 0
    user: str = ""
    database: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    def display(self) -> str:
        """The URL for people to read; it has no secrets."""
        return self.text

    def __str__(self) -> str:
        return self.text

    def connection_config(self, readonly: bool = False) -> ConnectionConfig | MetadataStoreClientConfig:
        """What ml_metadata connects with.

        Args:
            readonly: Whether an SQLite file is opened for reading only, and a database that is not
                there is left so.

        Raises:
            StoreError: Where the password, or a file that the URL names, cannot be read.
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
        """The password, from the environment or a file; None where there is none.

        Raises:
            StoreError: Where the URL names a variable or a file that does not hold it.
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
        """Where the password comes from, in words."""
        if "password_file" in self.options:
            return f"in {self.options['password_file']}"
        return f"in the environment variable {self.options.get('password_env', PASSWORD_VARIABLE)}"

    def _flag(self, name: str) -> bool:
        return self.options.get(name) == "true"

    def _fill_mysql(self, config: ConnectionConfig) -> None:
        if "socket" in self.options:
            config.socket = self.options["socket"]
        else:
            # MySQL's client takes `localhost` for a socket that it looks for in its own place.
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
        # gRPC's own limit of 4 MB is less than what a large store answers.
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
    """Takes a URL apart; looks at no password and at no server.

    Args:
        text: As `run.metadata` has it.

    Raises:
        ValueError: Where it names no metadata store, or has a password in it; says what to write.
    """
    scheme, separator, rest = text.partition("://")
    if scheme in ("sqlite", "") or not separator:
        return _sqlite(text)
    if scheme not in _FORMS:
        raise ValueError(_unknown_scheme(scheme))
    is_grpc = scheme.startswith("grpc")
    # A password may have any character of a URL's other parts: what has a ':' before the first '@' is one.
    before, at, _ = (re.split(r"[/?#]", rest)[0] if is_grpc else rest).partition("@")
    if at and ":" in before:
        raise ValueError(
            "a password does not belong in a URL, where files and logs would keep it; write "
            f"{_FORMS[scheme]}, and the password in the environment variable {PASSWORD_VARIABLE}, or in "
            "another or in a file, which ?password_env=NAME or ?password_file=PATH name"
        )
    if at and is_grpc:
        raise ValueError(f"a gRPC server knows no user; write {_FORMS[scheme]}")
    if "#" in rest:
        raise ValueError(f"'#' means nothing in a {scheme}: URL; write %23 where a name has it")
    place, _, query = rest.partition("?")
    options = _options(scheme, query)
    user, _, place = place.rpartition("@")
    authority, _, database = place.partition("/")
    if not is_grpc and not user:
        raise ValueError(f"names no user; write {_FORMS[scheme]}")
    host, port = _host_and_port(scheme, authority, options)
    database = _checked_database(scheme, unquote(database))
    return MetadataUrl(text, scheme, None, host, port, unquote(user), database, MappingProxyType(options))


def redacted(text: str) -> str:
    """A text without what may be passwords in URLs, for messages that quote what somebody wrote."""
    for place in _SECRETS:
        text = place.sub(r"\1…", text)
    return text


def _sqlite(text: str) -> MetadataUrl:
    found = re.fullmatch(r"sqlite:///(.+)", text)
    if not found:
        raise ValueError(
            f"{redacted(text)!r} is no metadata store: write {_FORMS['sqlite']}, {_FORMS['mysql']}, "
            f"{_FORMS['postgresql']} or {_FORMS['grpc']}"
        )
    # Any other '?' belongs to the name of the file or of a folder.
    if re.search(rf"\?({'|'.join(_OPTIONS['mysql'])})=", text):
        raise ValueError("an sqlite: URL takes no options; leave out the '?' and what follows it")
    return MetadataUrl(text, "sqlite", found.group(1))


def _unknown_scheme(scheme: str) -> str:
    near = _ALIASES.get(scheme.lower().split("+")[0]) or _nearest(scheme.lower().split("+")[0], _FORMS)
    fix = f"did you mean {_FORMS[near]}?" if near else f"write {', '.join(_FORMS.values())}"
    return f"{scheme!r} is no kind of metadata store; {fix}"


def _options(scheme: str, query: str) -> dict[str, str]:
    """The part behind `?`.

    Raises:
        ValueError: For a key that the scheme does not have, or a value that its key cannot have.
    """
    options: dict[str, str] = {}
    known = _OPTIONS[scheme]
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key in ("password", "passwd", "pwd", "sslpassword"):
            raise ValueError(
                f"a password does not belong in a URL: write ?password_env=NAME, and the password in that "
                f"environment variable, instead of {key}"
            )
        if key not in known:
            near = _nearest(key, known)
            fix = f"did you mean {near!r}?" if near else f"it knows {', '.join(known)}"
            raise ValueError(f"a {scheme}: URL has no option {key!r}; {fix}")
        if key in options:
            raise ValueError(f"the option {key!r} stands twice; remove one")
        if not value:
            raise ValueError(f"the option {key!r} is empty; write a value or leave it out")
        if key in _FLAGS and value not in ("true", "false"):
            raise ValueError(f"the option {key!r} is true or false, not {value!r}")
        options[key] = value
    if all(name in options for name in _PASSWORD):
        raise ValueError("password_env and password_file exclude each other; remove one")
    if "timeout" in options and not re.fullmatch(r"\d+(\.\d+)?", options["timeout"]):
        raise ValueError(f"the option 'timeout' is a number of seconds, not {options['timeout']!r}")
    return options


def _host_and_port(scheme: str, authority: str, options: Mapping[str, str]) -> tuple[str, int]:
    """Host and port of a URL; the host is empty where a socket takes its place.

    Raises:
        ValueError: Where one is missing, or is none.
    """
    found = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\[\]]*))(?::([^:]*))?", authority)
    if not found:
        raise ValueError(f"an IPv6 address stands in brackets: {scheme}://…[::1]:port")
    host, port = found.group(1) or found.group(2) or "", found.group(3)
    if host and "socket" in options:
        raise ValueError("names a host and a socket; remove one")
    if not host and "socket" not in options:
        raise ValueError(f"names no host; write {_FORMS[scheme]}")
    if port is None:
        if scheme not in _PORTS:
            raise ValueError(f"names no port; write {_FORMS[scheme]}")
        return host, _PORTS[scheme]
    # What was meant for a password may stand here, so that it is not repeated.
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 2**16):
        raise ValueError(f"the port is no number from 1 to 65535; write {_FORMS[scheme]}")
    return host, int(port)


def _checked_database(scheme: str, name: str) -> str:
    if scheme not in _DATABASE:
        if name:
            raise ValueError(f"a gRPC server has one store and names no database; write {_FORMS[scheme]}")
    elif not name:
        raise ValueError(f"names no database; write {_FORMS[scheme]}")
    elif not re.fullmatch(_DATABASE[scheme], name):
        letters = "lower-case letters" if scheme == "postgresql" else "letters"
        raise ValueError(
            f"{name!r} cannot name the database, because ml_metadata does not quote it; use one of "
            f"{letters}, digits and '_' that begins with a letter"
        )
    return name


def _nearest(name: str, known: Mapping[str, str] | tuple[str, ...]) -> str | None:
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)), None)


def _conninfo(value: str) -> str:
    """A value as libpq's connection strings quote it, which ml_metadata makes without quoting.

    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-KEYWORD-VALUE
    """
    if re.fullmatch(r"[\w./:@-]+", value):
        return value
    return "'" + re.sub(r"(['\\])", r"\\\1", value) + "'"


def _text_in(path: str, url: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no UTF-8 text"
        raise StoreError(f"{url}: {path} cannot be read: {reason}") from None


def _password_in(path: str, url: str) -> str:
    text = _text_in(path, url)
    if stat.S_IMODE(os.stat(path).st_mode) & 0o077:
        raise StoreError(f"{url}: others may read the password in {path}; chmod 600 {path}")
    password = text.rstrip("\r\n")
    if not password:
        raise StoreError(f"{url}: {path}, which password_file names, is empty; write the password in it")
    return password
