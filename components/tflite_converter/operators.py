"""Operators of a TFLite file, with what they compute in and the layers that they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.common.base.layer_names import plain_name

_CASTS = frozenset({"QUANTIZE", "DEQUANTIZE"})


@dataclass(frozen=True)
class Operator:
    """An operator of a TFLite file.

    Attributes:
        name: As in the schema: CONV_2D; that of a custom operator is its own.
        output: Name of the first tensor that it writes.
        layers: Names of the model's layers that were fused into it.
        dtypes: Of all tensors that it reads and writes, as NumPy calls them.
        kernel_scales: Number of scales of its second input; 0 where that is no quantized kernel.
    """

    name: str
    output: str
    layers: frozenset[str]
    dtypes: frozenset[str]
    kernel_scales: int

    def in_float(self) -> bool:
        """Whether it computes in float; a cast between float and integers does not compute."""
        return self.name not in _CASTS and bool(self.dtypes & {"float32", "float16"})

    def quantized(self) -> bool:
        """Whether it computes in integers that stand for real values."""
        return self.name not in _CASTS and not self.in_float() and bool(self.dtypes & {"int8", "int16"})


def _model(content: bytes) -> Any:
    from ai_edge_litert.tools import flatbuffer_utils

    return flatbuffer_utils.read_model_from_bytearray(bytearray(content))


def read(content: bytes) -> list[Operator]:
    """The operators of all subgraphs, in the order in which they run.

    Args:
        content: A TFLite file.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    dtypes = {
        value: name.lower() for name, value in vars(schema.TensorType).items() if isinstance(value, int)
    }
    model = _model(content)
    found = []
    for number, graph in enumerate(model.subgraphs):
        returned = _returned(model, number)
        for operator in graph.operators or []:
            code = model.operatorCodes[operator.opcodeIndex]
            name = code.customCode.decode() if code.customCode is not None else names[
                flatbuffer_utils.get_builtin_code_from_operator_code(code)
            ]  # fmt: skip
            used = [graph.tensors[index] for index in [*operator.inputs, *operator.outputs] if index >= 0]
            written = graph.tensors[operator.outputs[0]]
            found.append(
                Operator(
                    name=name,
                    output=written.name.decode(),
                    layers=_layers(written.name.decode(), returned.get(operator.outputs[0], "")),
                    dtypes=frozenset(dtypes[tensor.type] for tensor in used),
                    kernel_scales=_kernel_scales(graph, operator),
                )
            )
    return found


def sparse_tensors(content: bytes) -> list[str]:
    """Names of the tensors of which a file stores the nonzero values only."""
    return [
        tensor.name.decode()
        for graph in _model(content).subgraphs
        for tensor in graph.tensors or []
        if tensor.sparsity is not None
    ]


def _returned(model: Any, subgraph: int) -> dict[int, str]:
    """Tensor → the name under which a signature returns it, which is that of its layer."""
    return {
        entry.tensorIndex: entry.name.decode()
        for signature in model.signatureDefs or []
        if signature.subgraphIndex == subgraph
        for entry in signature.outputs or []
    }


def _layers(tensor: str, returned: str) -> frozenset[str]:
    """Layers in the name of a tensor, `cnn/relu/Relu;cnn/bn/FusedBatchNormV3;cnn/conv/Conv2D`.

    What the model returns is called after the function; there only the signature has the layer.
    """
    paths = [operation.split("/") for operation in tensor.split(";")]
    named = {plain_name(path[1]) for path in paths if len(path) > 2}
    return frozenset(named | {returned} - {""})


def _kernel_scales(graph: Any, operator: Any) -> int:
    if len(operator.inputs) < 2 or operator.inputs[1] < 0:
        return 0
    quantization = graph.tensors[operator.inputs[1]].quantization
    scales = None if quantization is None else quantization.scale
    return 0 if scales is None else len(scales)
