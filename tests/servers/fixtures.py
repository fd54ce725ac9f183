"""Servers for the whole test session; each is started when the first test asks for it.

A test module gets them by `pytest_plugins = ["tests.servers.fixtures"]`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ml_metadata.proto import metadata_store_pb2

from tests.servers.database import Database
from tests.servers.grpc_store import metadata_server
from tests.servers.mariadb import mariadb
from tests.servers.postgresql import postgresql


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[Database]:
    """MariaDB with Debian's character set."""
    with mariadb(("--character-set-server=utf8mb4",)) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Database]:
    """PostgreSQL."""
    with postgresql() as server:
        yield server


@pytest.fixture
def grpc_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an ML Metadata gRPC server with an empty store."""
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(tmp_path_factory.mktemp("grpc") / "metadata.sqlite")
    config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    with metadata_server(config) as port:
        yield f"grpc://127.0.0.1:{port}"
