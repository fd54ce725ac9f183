"""What a TFLite file holds: signatures, operators, tensors, and the weights of layers.

The file is read by LiteRT's own reader of the FlatBuffers schema; nothing here imports TensorFlow.
https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs
"""

from __future__ import annotations

import os
import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.common.base.layer_names import plain_name
from components.common.tflite import encoding as tflite_encoding
from components.common.tflite.kernel import Kernel, Tensor

SIGNATURE = "serving_default"

# Operators that layers' kernels go into: as which of their inputs, and where each takes its bias.
_KERNEL_INPUTS: dict[str, tuple[int, ...]] = {
    "CONV_2D": (1,),
    "DEPTHWISE_CONV_2D": (1,),
    "FULLY_CONNECTED": (1,),
    "TRANSPOSE_CONV": (1,),
    "CONV_3D": (1,),
    "CONV_3D_TRANSPOSE": (1,),
    "BATCH_MATMUL": (0, 1),
    "GATHER": (0,),
    "EMBEDDING_LOOKUP": (1,),
    # Input gate, forget gate, cell, output gate: of the input, then of the previous output.
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (1, 2, 3, 4, 5, 6, 7, 8),
    "UNIDIRECTIONAL_SEQUENCE_RNN": (1, 2),
    "LSTM": (1, 2, 3, 4, 5, 6, 7, 8),
}
_BIAS_INPUT = {
    "CONV_2D": 2,
    "DEPTHWISE_CONV_2D": 2,
    "FULLY_CONNECTED": 2,
    "TRANSPOSE_CONV": 3,
    "CONV_3D": 2,
    "CONV_3D_TRANSPOSE": 3,
}
# Axis of the output channels, where it is not the first.
_OUTPUT_AXIS = {
    "DEPTHWISE_CONV_2D": -1,
    "CONV_3D": -1,
    "CONV_3D_TRANSPOSE": -2,
    "GATHER": -1,
    "EMBEDDING_LOOKUP": -1,
}
# What a constant may go through before it is used, its values being the same.
_PASSED_THROUGH = frozenset({"DENSIFY", "DEQUANTIZE", "QUANTIZE"})
# Last parts of the names that Keras gives to the operations that use kernels.
_KERNEL_OPERATION = re.compile(
    r"(Conv2D|depthwise|MatMul|conv2d_transpose|separable_conv2d|Conv3D|conv3d_transpose|Tensordot"
    r"|einsum|embedding_lookup)",
    re.IGNORECASE,
)
_NUMBERS = {
    "float64": np.float64,
    "float32": np.float32,
    "float16": np.float16,
    "int64": np.int64,
    "uint64": np.uint64,
    "int32": np.int32,
    "uint32": np.uint32,
    "int16": np.int16,
    "uint16": np.uint16,
    "int8": np.int8,
    "uint8": np.uint8,
    "bool": np.bool_,
}
_PACKED_BITS = {"int4": 4, "uint4": 4, "int2": 2}
_KERNEL_DTYPES = frozenset({"float32", "float16", "int8", "uint8", "int16", *_PACKED_BITS})
# What the reader of the schema raises where an offset or a length points outside the file.
_MALFORMED = (
    struct.error,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    OverflowError,
    RecursionError,
    MemoryError,
)


class TFLiteFileError(Exception):
    """A file cannot be read as TFLite; the message says why, and so does `reason` without the path."""

    def __init__(self, path: str, reason: str):
        super().__init__(f"{path} {reason}")
        self.reason = reason


@dataclass(frozen=True, eq=False)
class Signature:
    """A function of a TFLite file: what it takes and returns, by name."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class TFLiteFile:
    """What is in a TFLite file.

    Attributes:
        path: The file.
        bytes: Its size.
        inputs: Name → tensor, by the signature `serving_default`; without one, by the first subgraph,
            where the names are those of the tensors.
        outputs: The same of what it returns.
        operators: Name → count over all subgraphs; custom operators by their own names (FlexErf).
        kernels: The layers' weights, in the order of the operators.
        tensors: All tensors of all subgraphs.
        activation_dtypes: Dtype → number of tensors that are not constant.
        metadata: Names of the metadata entries.
        signatures: Name → signature.
    """

    path: str
    bytes: int
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    operators: dict[str, int]
    kernels: list[Kernel]
    tensors: list[Tensor]
    activation_dtypes: dict[str, int]
    metadata: list[str]
    signatures: dict[str, Signature]


def has_identifier(path: str | os.PathLike[str]) -> bool:
    """Whether a file says of itself that it is TFLite, by the FlatBuffers identifier `TFL3`."""
    with open(path, "rb") as file:
        return _identified(file.read(8))


def _identified(content: bytes) -> bool:
    from ai_edge_litert import schema_py_generated as schema

    return len(content) >= 8 and schema.Model.ModelBufferHasIdentifier(content, 0)


def read(path: str | os.PathLike[str]) -> TFLiteFile:
    """Reads a TFLite file.

    Raises:
        TFLiteFileError: Where it is missing, empty, no TFLite file, or broken.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    path = os.fspath(path)
    try:
        # Not by read_model, which leaves a file descriptor open.
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise TFLiteFileError(path, f"cannot be read: {error.strerror or error}") from error
    if not content:
        raise TFLiteFileError(path, "is empty")
    if not _identified(content):
        raise TFLiteFileError(path, "is not a TFLite file: it lacks the identifier TFL3")
    try:
        return _Reader(flatbuffer_utils.read_model_from_bytearray(content)).file(path, len(content))
    except _MALFORMED as error:
        raise TFLiteFileError(
            path,
            "is a broken TFLite file, cut off or changed after it was written "
            f"({type(error).__name__}: {error})",
        ) from error


def layer_kernels(file: TFLiteFile, layers: Iterable[str]) -> dict[str, list[Kernel]]:
    """Layer → its kernels in a TFLite file.

    Args:
        file: As read.
        layers: Names of Keras layers. One that the file does not have is left out.
    """
    found = {}
    for layer in layers:
        own = [kernel for kernel in file.kernels if layer in kernel.layers]
        # A separable convolution is two operators, of which TFMOT prunes the second.
        own = [kernel for kernel in own if kernel.operator != "DEPTHWISE_CONV_2D"] or own
        if own:
            found[layer] = own
    return found


class _Reader:
    """Turns the schema's objects into ours."""

    def __init__(self, model: Any):
        from ai_edge_litert import schema_py_generated as schema

        self._model = model
        self._operator_names = _names_of(schema.BuiltinOperator)
        self._dtypes = {value: name.lower() for value, name in _names_of(schema.TensorType).items()}
        self._graphs = [[self._tensor(t) for t in graph.tensors or []] for graph in model.subgraphs]

    def file(self, path: str, size: int) -> TFLiteFile:
        """Everything that the file holds."""
        model = self._model
        tensors = [tensor for graph in self._graphs for tensor in graph]
        signatures = {
            signature.signatureKey.decode(): self._signature(signature)
            for signature in model.signatureDefs or []
        }
        main = signatures.get(SIGNATURE) or self._main_subgraph()
        operators = Counter(
            self._operator_name(operator) for graph in model.subgraphs for operator in graph.operators or []
        )
        return TFLiteFile(
            path=path,
            bytes=size,
            inputs=main.inputs,
            outputs=main.outputs,
            operators=dict(sorted(operators.items(), key=lambda item: (-item[1], item[0]))),
            kernels=[k for number in range(len(model.subgraphs)) for k in self._kernels(number)],
            tensors=tensors,
            activation_dtypes=dict(sorted(Counter(t.dtype for t in tensors if not t.constant).items())),
            metadata=[entry.name.decode() for entry in model.metadata or []],
            signatures=signatures,
        )

    def _tensor(self, tensor: Any) -> Tensor:
        quantization = tensor.quantization
        scales = getattr(quantization, "scale", None)
        zero_points = getattr(quantization, "zeroPoint", None)
        scales = np.asarray([] if scales is None else scales, np.float32)
        if zero_points is None:
            zero_points = np.zeros(scales.size, np.int64)
        shape = tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape
        values = len(self._raw(tensor))
        return Tensor(
            name=(tensor.name or b"").decode(),
            dtype=self._dtypes[tensor.type],
            shape=tuple(int(size) for size in ([] if shape is None else shape)),
            bytes=values + (tflite_encoding.index_bytes(tensor.sparsity) if values else 0),
            buffer=int(tensor.buffer),
            scales=scales,
            zero_points=np.asarray(zero_points, np.int64),
            channel_axis=int(getattr(quantization, "quantizedDimension", 0) or 0),
            sparse=tensor.sparsity is not None,
        )

    def _raw(self, tensor: Any) -> bytes | np.ndarray:
        data = self._model.buffers[tensor.buffer].data
        return b"" if data is None else data

    def _signature(self, signature: Any) -> Signature:
        tensors = self._graphs[signature.subgraphIndex]
        return Signature(
            {entry.name.decode(): tensors[entry.tensorIndex] for entry in signature.inputs or []},
            {entry.name.decode(): tensors[entry.tensorIndex] for entry in signature.outputs or []},
        )

    def _main_subgraph(self) -> Signature:
        graph, tensors = self._model.subgraphs[0], self._graphs[0]
        return Signature(
            *(
                {tensors[index].name: tensors[index] for index in ends}
                for ends in (graph.inputs, graph.outputs)
            )
        )

    def _operator_name(self, operator: Any) -> str:
        from ai_edge_litert.tools import flatbuffer_utils

        code = self._model.operatorCodes[operator.opcodeIndex]
        if code.customCode is not None:
            return code.customCode.decode()
        return self._operator_names[flatbuffer_utils.get_builtin_code_from_operator_code(code)]

    def _kernels(self, number: int) -> list[Kernel]:
        """Kernels of a subgraph, each constant once.

        An operator is told by its layer from the name of the tensor that it writes, where the converter
        keeps the names of all operations that it fused: `cnn/relu/Relu;cnn/bn/…;cnn/conv/Conv2D`. What
        writes an output of the model has lost that name; there the signature has the layer's.
        """
        graph = self._model.subgraphs[number]
        written_by = {output: operator for operator in graph.operators for output in operator.outputs}
        output_names = self._output_names(number, written_by)
        users: dict[int, tuple[Any, list[str]]] = {}
        for operator in graph.operators:
            for place in _KERNEL_INPUTS.get(self._operator_name(operator), ()):
                index = self._constant_behind(number, operator, place, written_by)
                if index is None or self._graphs[number][index].dtype not in _KERNEL_DTYPES:
                    continue
                output = operator.outputs[0]
                name = f"{self._graphs[number][output].name};{output_names.get(output, '')}"
                users.setdefault(index, (operator, []))[1].append(name)
        return [
            self._kernel(number, index, operator, names, written_by)
            for index, (operator, names) in users.items()
        ]

    def _output_names(self, number: int, written_by: dict[int, Any]) -> dict[int, str]:
        """Tensor → the name under which a signature returns it: in Keras, that of the layer."""
        names = {}
        for signature in self._model.signatureDefs or []:
            if signature.subgraphIndex != number:
                continue
            for output in signature.outputs or []:
                index = output.tensorIndex
                writer = written_by.get(index)
                if writer is not None and self._operator_name(writer) in _PASSED_THROUGH:
                    index = writer.inputs[0]
                names[index] = output.name.decode()
        return names

    def _constant_behind(
        self, number: int, operator: Any, place: int, written_by: dict[int, Any]
    ) -> int | None:
        """The constant that an operator takes as one of its inputs, if it is one."""
        if place >= len(operator.inputs):
            return None
        index, tensors = operator.inputs[place], self._graphs[number]
        if index < 0:  # left out
            return None
        for _ in range(len(_PASSED_THROUGH)):
            writer = written_by.get(index)
            if writer is None or self._operator_name(writer) not in _PASSED_THROUGH:
                break
            index = writer.inputs[0]
        return index if tensors[index].constant else None

    def _kernel(
        self, number: int, index: int, operator: Any, names: list[str], written_by: dict[int, Any]
    ) -> Kernel:
        tensor, name = self._graphs[number][index], self._operator_name(operator)
        bias = None
        if name in _BIAS_INPUT:
            found = self._constant_behind(number, operator, _BIAS_INPUT[name], written_by)
            bias = None if found is None else self._graphs[number][found]
        parts = {part for operations in names for one in operations.split(";") for part in one.split("/")}
        return Kernel(
            operator=name,
            layers=frozenset(plain_name(part) for part in parts if part),
            values=self._values(self._model.subgraphs[number].tensors[index], tensor),
            dtype=tensor.dtype,
            scales=tensor.scales,
            zero_points=tensor.zero_points if tensor.zero_points.size else np.zeros(1, np.int64),
            channel_axis=tensor.channel_axis,
            output_axis=_output_axis(name, operator, index, len(tensor.shape)),
            bytes=tensor.bytes,
            sparse=tensor.sparse,
            layer=plain_name(_layer_with_kernel(names)),
            tensor=tensor.name,
            buffer=tensor.buffer,
            bias=bias,
        )

    def _values(self, stored: Any, tensor: Tensor) -> np.ndarray:
        raw = np.frombuffer(self._raw(stored), np.uint8)
        if tensor.dtype in _PACKED_BITS:
            values = tflite_encoding.unpack(
                raw, _PACKED_BITS[tensor.dtype], signed=not tensor.dtype.startswith("u")
            )
        else:
            values = raw.view(np.dtype(_NUMBERS[tensor.dtype]).newbyteorder("<"))
        if stored.sparsity is not None:
            return tflite_encoding.densify(values, tensor.shape, stored.sparsity)
        # What is packed may have filled its last byte up.
        return values[: int(np.prod(tensor.shape))].reshape(tensor.shape)


def _names_of(enumeration: Any) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _output_axis(name: str, operator: Any, index: int, dimensions: int) -> int:
    """Axis of a kernel with the output channels, counted from the front."""
    axis = _OUTPUT_AXIS.get(name, 0)
    if name == "BATCH_MATMUL":
        # [..., k, columns] on the right, unless it says that it is transposed; the left one mirrors it.
        right = index == operator.inputs[1]
        adjoint = operator.builtinOptions and getattr(operator.builtinOptions, "adjY" if right else "adjX")
        axis = -1 if right != bool(adjoint) else -2
    return axis % dimensions if dimensions else 0


def _operations(names: Iterable[str]) -> Iterator[list[str]]:
    """The operations in tensors' names, each as its scopes and, last, its own name."""
    for operations in names:
        for one in operations.split(";"):
            parts = [part for part in one.split("/") if part]
            if parts:
                yield parts


def _layer_with_kernel(names: list[str]) -> str:
    """Of the layers in the names of what was fused, the one that brought the kernel."""
    operations = list(_operations(names))
    for *scopes, own in operations:
        # Of sep/separable_conv2d/depthwise and dense/Tensordot/MatMul, the layer is the first.
        scopes = [scope for scope in scopes if scope not in ("separable_conv2d", "Tensordot")]
        if scopes and _KERNEL_OPERATION.match(own):
            return scopes[-1]
    # An output of the model is called after the function; the signature's name comes last.
    return next(
        (scopes[-1] for *scopes, _ in operations if scopes), operations[-1][-1] if operations else ""
    )
