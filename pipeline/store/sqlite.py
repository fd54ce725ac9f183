"""Reads an SQLite store from its tables, without ml_metadata.

Importing ml_metadata, and gRPC with it, takes longer than the rest of a command that only reads. This class
has those of ml_metadata's methods that `pipeline.store.reader` calls, for the one layout of tables that it
knows. Any other layout, and all writing, is ml_metadata's.

https://github.com/google/ml-metadata/blob/master/ml_metadata/util/metadata_source_query_config.cc
"""

from __future__ import annotations

import base64
import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pipeline.config.metadata_url import StoreError

# Version of the tables, in MLMDEnv.
SCHEMA_VERSION = 10

_STRUCT = "mlmd-struct::"
_PATIENCE = 30.0  # seconds in which a writer must end its transaction
_BATCH = 500

# Columns that only one of the three kinds of nodes has: what it is called by, and its state.
_COLUMNS = {"Artifact": "n.uri, n.state", "Execution": "n.name, n.last_known_state", "Context": "n.name, 0"}


@dataclass(frozen=True)
class Node:
    """An artifact, an execution or a context, with ml_metadata's names for its fields."""

    id: int
    type: str
    name: str
    state: int
    create_time_since_epoch: int
    last_update_time_since_epoch: int
    properties: dict[str, Any]

    @property
    def uri(self) -> str:
        """Folder of an artifact."""
        return self.name

    @property
    def last_known_state(self) -> int:
        """State of an execution."""
        return self.state


@dataclass(frozen=True)
class Event:
    """An artifact as an input or output of an execution."""

    execution_id: int
    artifact_id: int
    type: int
    key: str


def roll_back(path: str) -> None:
    """Undoes the unfinished transaction of a killed program.

    Its journal lies beside the file. SQLite restores the file from it when a program opens the file for writing and
    reads; it cannot be read at all if it is opened read-only.

    Raises:
        StoreError: If this user may not write the file; the text says what to do.
    """
    journal = f"{path}-journal"
    if not (os.path.exists(path) and os.path.exists(journal)):
        return
    address = f"file:{quote(os.path.abspath(path))}?mode=rw"
    try:
        with contextlib.closing(sqlite3.connect(address, timeout=_PATIENCE, uri=True)) as database:
            database.execute("SELECT count(*) FROM sqlite_master").fetchall()
    except sqlite3.OperationalError as error:
        if "locked" in str(
            error
        ):  # the writer is alive, and slow; SQLite has no other sign of it in Python 3.10
            return
        raise StoreError(
            f"sqlite:///{path}: a program was killed while it wrote to the store, and {journal} is needed to restore "
            f"it ({error}). Run `paredown runs --metadata sqlite:///{path}` once as a user who may write to both files "
            "and their folder"
        ) from None
    except sqlite3.DatabaseError:
        return  # it is damaged or not SQLite: the error comes when it is opened


class SqliteStore:
    """An SQLite store, opened for reading."""

    def __init__(self, path: str):
        """Opens a file.

        Raises:
            StoreError: If it cannot be read, or its tables are not of SCHEMA_VERSION.
        """
        self._path = path
        roll_back(path)
        address = f"file:{quote(os.path.abspath(path))}?mode=ro"
        try:
            self._database = sqlite3.connect(address, timeout=_PATIENCE, uri=True, check_same_thread=False)
        except sqlite3.Error as error:
            raise self._unreadable(error) from None
        if self._rows("SELECT schema_version FROM MLMDEnv") != [(SCHEMA_VERSION,)]:
            raise StoreError(f"sqlite:///{path} has tables of another version of ml_metadata")

    def contexts(self, kind: str, limit: int, newest: bool) -> list[Node]:
        """The newest or the oldest contexts of a type, in that order."""
        order = f"n.id {'DESC' if newest else 'ASC'} LIMIT {int(limit)}"
        return self._nodes("Context", "t.name = ?", [kind], order)

    def get_contexts_by_type(self, name: str) -> list[Node]:
        """Contexts of a type."""
        return self._nodes("Context", "t.name = ?", [name])

    def get_context_by_type_and_name(self, type_name: str, name: str) -> Node | None:
        """The context of a type and name."""
        return next(iter(self._nodes("Context", "t.name = ? AND n.name = ?", [type_name, name])), None)

    def get_parent_contexts_by_context(self, context_id: int) -> list[Node]:
        """Contexts above a context."""
        where = "n.id IN (SELECT parent_context_id FROM ParentContext WHERE context_id = ?)"
        return self._nodes("Context", where, [context_id])

    def get_contexts_by_execution(self, execution_id: int) -> list[Node]:
        """Contexts of an execution."""
        where = "n.id IN (SELECT context_id FROM Association WHERE execution_id = ?)"
        return self._nodes("Context", where, [execution_id])

    def get_executions_by_id(self, ids: Sequence[int]) -> list[Node]:
        """Executions by id."""
        return self._nodes("Execution", f"n.id IN ({_marks(ids)})", ids)

    def get_executions_by_context(self, context_id: int) -> list[Node]:
        """Executions of a context."""
        where = "n.id IN (SELECT execution_id FROM Association WHERE context_id = ?)"
        return self._nodes("Execution", where, [context_id])

    def get_artifacts(self) -> list[Node]:
        """All artifacts."""
        return self._nodes("Artifact", "TRUE", [])

    def get_artifacts_by_id(self, ids: Sequence[int]) -> list[Node]:
        """Artifacts by id."""
        return self._nodes("Artifact", f"n.id IN ({_marks(ids)})", ids)

    def get_artifacts_by_type(self, name: str) -> list[Node]:
        """Artifacts of a type."""
        return self._nodes("Artifact", "t.name = ?", [name])

    def get_artifacts_by_uri(self, uri: str) -> list[Node]:
        """Artifacts with this folder."""
        return self._nodes("Artifact", "n.uri = ?", [uri])

    def get_artifacts_by_context(self, context_id: int) -> list[Node]:
        """Artifacts of a context."""
        where = "n.id IN (SELECT artifact_id FROM Attribution WHERE context_id = ?)"
        return self._nodes("Artifact", where, [context_id])

    def get_events_by_execution_ids(self, ids: Sequence[int]) -> list[Event]:
        """Inputs and outputs of executions."""
        return self._events("execution_id", ids)

    def get_events_by_artifact_ids(self, ids: Sequence[int]) -> list[Event]:
        """Executions that have artifacts as inputs or outputs."""
        return self._events("artifact_id", ids)

    def _events(self, column: str, ids: Sequence[int]) -> list[Event]:
        # A path's steps are a key and then an index.
        rows = self._rows(
            "SELECT e.execution_id, e.artifact_id, e.type, p.step_key FROM Event e LEFT JOIN EventPath p "
            f"ON p.event_id = e.id AND NOT p.is_index_step WHERE e.{column} IN ({_marks(ids)}) ORDER BY e.id",
            ids,
        )
        return [Event(execution, artifact, kind, key or "") for execution, artifact, kind, key in rows]

    def _nodes(self, table: str, where: str, values: Sequence[Any], order: str = "n.id") -> list[Node]:
        rows = self._rows(
            f"SELECT n.id, t.name, {_COLUMNS[table]}, n.create_time_since_epoch, n.last_update_time_since_epoch "
            f"FROM {table} n JOIN Type t ON t.id = n.type_id WHERE {where} ORDER BY {order}",
            values,
        )
        properties: dict[int, dict[str, Any]] = {row[0]: {} for row in rows}
        for node, name, value in self._properties(table, list(properties)):
            properties[node][name] = value
        return [
            Node(number, kind, name or "", state or 0, created, updated, properties[number])
            for number, kind, name, state, created, updated in rows
        ]

    def _properties(self, table: str, ids: list[int]) -> Iterator[tuple[int, str, Any]]:
        """Node, name and value; a custom property comes after another of its name."""
        for begin in range(0, len(ids), _BATCH):
            batch = ids[begin : begin + _BATCH]
            for node, name, number, real, text, proto, flag in self._rows(
                f"SELECT {table}_id, name, int_value, double_value, string_value, proto_value, bool_value "
                f"FROM {table}Property WHERE {table}_id IN ({_marks(batch)}) ORDER BY is_custom_property",
                batch,
            ):
                if number is not None:
                    yield node, name, number
                elif real is not None:
                    yield node, name, real
                elif flag is not None:
                    yield node, name, bool(flag)
                else:
                    yield node, name, _message(text, proto)

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: sqlite3.Error) -> StoreError:
        return StoreError(
            f"sqlite:///{self._path} cannot be read: {error}; restore a copy of it, or name another store"
        )


def _marks(values: Sequence[Any]) -> str:
    return ",".join("?" * len(values))


def _message(text: str | None, proto: str | None) -> Any:
    """A text, or the protobuf message that is stored in its place; ml_metadata encodes both in Base64."""
    if proto is not None:
        from google.protobuf.any_pb2 import Any as AnyMessage

        return AnyMessage.FromString(base64.b64decode(proto))
    if text is not None and text.startswith(_STRUCT):
        from google.protobuf.struct_pb2 import Struct

        return Struct.FromString(base64.b64decode(text.removeprefix(_STRUCT)))
    return text
