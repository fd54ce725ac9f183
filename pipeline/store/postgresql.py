"""Stores properties in PostgreSQL that ml_metadata cannot store there.

Its PostgreSQL source breaks its own SQL at a text that has a backslash in it (any JSON within JSON has),
and indexes whole texts, which PostgreSQL refuses from about 2,700 bytes on. Such custom properties are
stored as protocol buffers instead: `google.protobuf.StringValue` in the property's `proto_value`, a column
that is neither quoted nor indexed. Readers of this store get texts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import StringValue
from ml_metadata.proto import metadata_store_pb2

_INDEXED = 2000  # bytes; the name of the property is in the index too
_NODES = (metadata_store_pb2.Artifact, metadata_store_pb2.Execution, metadata_store_pb2.Context)


class PostgresqlStore:
    """An ml_metadata MetadataStore on PostgreSQL, with all of its methods."""

    def __init__(self, store: Any):
        """Takes the ml_metadata MetadataStore that does the work."""
        self._store = store

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        method = getattr(self._store, name)
        if not callable(method):
            return method

        @functools.wraps(method)
        def call(*values: Any, **named: Any) -> Any:
            values = tuple(_each(value, _storable) for value in values)
            named = {key: _each(value, _storable) for key, value in named.items()}
            return _each(method(*values, **named), _readable)

        return call


def _each(value: Any, change: Callable[[Any], None]) -> Any:
    """A copy of a value in which the custom properties of all nodes are changed."""
    if isinstance(value, Message):
        copy = type(value)()
        copy.CopyFrom(value)
        if isinstance(value, _NODES):
            nodes = [copy]
        elif isinstance(value, metadata_store_pb2.LineageGraph):
            nodes = [*copy.artifacts, *copy.executions, *copy.contexts]
        else:
            return value
        for node in nodes:
            for item in node.custom_properties.values():
                change(item)
        return copy
    if isinstance(value, tuple):
        return tuple(_each(item, change) for item in value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_each(item, change) for item in value]
    return value


def _storable(value: Any) -> None:
    text = value.string_value
    if "\\" in text or len(text.encode()) > _INDEXED:
        value.proto_value.Pack(StringValue(value=text))


def _readable(value: Any) -> None:
    if value.HasField("proto_value") and value.proto_value.Is(StringValue.DESCRIPTOR):
        held = StringValue()
        value.proto_value.Unpack(held)
        value.string_value = held.value
