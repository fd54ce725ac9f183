"""What is refused for browsers before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from components.common.models import model_files
from components.common.tflite.litert_js import browser
from components.targets.web.examination import examine
from tests.components.conftest import Step
from tests.conftest import Trained
from tests.servers import web


def test_types_and_open_axes_are_refused_by_name_and_other_files_load(
    trained: Trained, converted: Callable[..., Step]
) -> None:
    web.need()

    def examined(*asked: str, **more: bool) -> str:
        path = model_files.tflite_file(converted(trained.uri, *asked, **more).uri)
        return examine(Path(path).read_bytes()).refusal

    try:
        assert examined("int8", fixed_batch=True) == examined("int8", "uint8", fixed_batch=True) == ""
        assert "is int8, and LiteRT.js takes only" in examined("int8", "int8", fixed_batch=True)
        assert "has an axis without a fixed length" in examined("float32")
        file = converted(trained.uri, "int8", fixed_batch=True).uri
        _operators_are_named(Path(model_files.tflite_file(file)).read_bytes())
    finally:
        browser.close()


def _operators_are_named(content: bytes) -> None:
    """LiteRT.js loads the first and the second file, and returns outputs that it did not compute."""
    model = schema.ModelT.InitFromPackedBuf(content)
    model.operatorCodes[0].builtinCode = schema.BuiltinOperator.CUSTOM
    model.operatorCodes[0].deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    model.operatorCodes[0].customCode = b"Fancy"
    unresolved = examine(_packed(model))
    assert unresolved.operator == "Fancy" and "does not run on LiteRT.js" in unresolved.refusal
    assert unresolved.refusal.endswith("write layers that do not become Fancy")

    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    model = schema.ModelT.InitFromPackedBuf(content)
    dense = next(
        one
        for one in model.subgraphs[0].operators
        if names[model.operatorCodes[one.opcodeIndex].builtinCode] == "FULLY_CONNECTED"
    )
    dense.inputs = dense.inputs[:1]
    assert examine(_packed(model)).operator == "FULLY_CONNECTED"

    model = schema.ModelT.InitFromPackedBuf(content)
    model.operatorCodes[dense.opcodeIndex].version = 99
    newer = examine(_packed(model))
    assert newer.operator == "FULLY_CONNECTED" and "does not load on LiteRT.js" in newer.refusal


def _packed(model: schema.ModelT) -> bytes:
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
