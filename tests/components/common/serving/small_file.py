"""A TFLite file of one Dense layer, written without TensorFlow in a millisecond."""

from __future__ import annotations

from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

INPUTS, OUTPUTS = 4, 3
KERNEL = np.random.default_rng(0).normal(size=(OUTPUTS, INPUTS)).astype(np.float32)


def content(factor: float) -> bytes:
    """`probabilities` = `image` · KERNELᵀ · factor, with an open batch."""
    kernel = (KERNEL * np.float32(factor)).astype("<f4").tobytes()
    tensors = [
        _tensor(b"image", [1, INPUTS], 1, [-1, INPUTS]),
        _tensor(b"kernel", [OUTPUTS, INPUTS], 2, None),
        _tensor(b"probabilities", [1, OUTPUTS], 3, [-1, OUTPUTS]),
    ]
    options = schema.FullyConnectedOptionsT()
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 1, -1], [2]
    operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    operator.builtinOptions = options
    graph = schema.SubGraphT()
    graph.tensors, graph.inputs, graph.outputs, graph.operators = tensors, [0], [2], [operator]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    code.version = 1
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
    signature.inputs, signature.outputs = [_named(b"image", 0)], [_named(b"probabilities", 2)]
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.signatureDefs, model.buffers = [signature], [schema.BufferT() for _ in range(4)]
    model.buffers[2].data = np.frombuffer(kernel, np.uint8)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def push(directory: Path, version: int, file: bytes | None = None) -> Path:
    """Puts a version into a push directory as the Pusher does: whole, by its name."""
    partial = directory / f".{version}.partial"
    partial.mkdir(parents=True)
    (partial / "tflite").write_bytes(content(version) if file is None else file)
    return partial.rename(directory / str(version))


def _tensor(name: bytes, shape: list[int], buffer: int, signature: list[int] | None) -> schema.TensorT:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.buffer, tensor.type = name, shape, buffer, schema.TensorType.FLOAT32
    tensor.shapeSignature = signature
    return tensor


def _named(name: bytes, index: int) -> schema.TensorMapT:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, index
    return entry
