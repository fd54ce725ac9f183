"""Stores on PostgreSQL, which keeps long texts and those with backslashes in another way."""

from __future__ import annotations

import pytest
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2

from pipeline.config.metadata_url import PASSWORD_VARIABLE, StoreError, parse
from pipeline.store.connection import connect
from pipeline.store.postgresql import PostgresqlStore
from tests.pipeline.store.notes import TEXTS, put
from tests.servers.database import Database

pytest_plugins = ["tests.servers.fixtures"]


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


def test_postgresql_without_tls_in_the_library_is_reported(
    postgresql_server: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, postgresql_server.password)
    with pytest.raises(StoreError, match=r"PostgreSQL reports: .*SSL support is not compiled in"):
        connect(postgresql_server.url("tls", "?sslmode=require"), write=True)


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


def test_a_user_who_may_not_write_tables_learns_what_is_missing(
    postgresql_server: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgresql_server.ask("CREATE USER guest PASSWORD 'w'")
    postgresql_server.ask("CREATE DATABASE others")
    monkeypatch.setenv("GUEST", "w")
    url = f"postgresql://guest@127.0.0.1:{postgresql_server.port}/others?password_env=GUEST"
    with pytest.raises(StoreError, match="'guest' must not create or use the database 'others'"):
        connect(url, write=True)
