"""Texts in a store, as notes."""

from __future__ import annotations

import json
import random
import string
from typing import Any

from ml_metadata.proto import metadata_store_pb2


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
