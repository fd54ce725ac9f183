"""Model files as far as they are looked at without TensorFlow."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

OPERATION = json.dumps(
    {"layers": [{"module": "keras.src.ops.nn", "class_name": "Relu", "config": {"name": "relu_1"}}]}
)
LAMBDA = json.dumps({"layers": [{"class_name": "Lambda"}]})


def keras_file(path: Path, version: str = "2.16.0", config: str = "{}", compiled: bool = True) -> None:
    whole = {"config": json.loads(config), "compile_config": {"loss": "mse"} if compiled else None}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("config.json", json.dumps(whole))
        archive.writestr("model.weights.h5", b"weights")


def layer(class_name: str = "Dense", **fields: Any) -> str:
    """JSON of a model with one layer."""
    entry = {"class_name": class_name, "config": {}, **fields}
    return json.dumps({"class_name": "Functional", "config": {"layers": [entry]}})


def varint(number: int) -> bytes:
    rest, last = divmod(number, 128)
    return bytes([last | 128]) + varint(rest) if rest else bytes([last])


def field(number: int, content: bytes) -> bytes:
    """A field of a protobuf message, with its length."""
    return varint(number * 8 + 2) + varint(len(content)) + content


def graph_file(node: bytes, where: str) -> bytes:
    """saved_model.pb with one node, in the graph or in a function of its library."""
    if where == "function":
        library = field(1, field(1, field(1, b"f")) + field(3, node))
        return field(2, field(2, field(2, library)))
    return field(2, field(2, field(1, node)))
