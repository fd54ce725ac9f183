"""The content of a TFLite file: signatures, operators, tensors, and the weights of layers.

The file is read by LiteRT's own reader of the FlatBuffers schema; nothing here imports TensorFlow.
https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from components.common.base.errors import ParedownError
from components.common.tflite import encoding, layer_path
from components.common.tflite.kernel import KERNEL_USES, Kernel
from components.common.tflite.layer_path import Written
from components.common.tflite.operator import Operator, Tensor

SIGNATURE = "serving_default"

# Operators that a constant may go through before it is used, its values being the same.
_PASSED_THROUGH = frozenset({"DENSIFY", "DEQUANTIZE", "QUANTIZE"})
_PACKED_BITS = {"int4": 4, "uint4": 4, "int2": 2}
_KERNEL_DTYPES = frozenset({"float32", "float16", "int8", "uint8", "int16", *_PACKED_BITS})
# Exceptions of the schema's reader if an offset or a length points outside the file.
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


class TFLiteFileError(ParedownError):
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
    """The content of a TFLite file.

    Attributes:
        bytes: Its size.
        inputs: Name → tensor, by the signature `serving_default`; without one, by the first subgraph,
            whose names are those of the tensors.
        outputs: The same of what it returns.
        operators: The operators of all subgraphs, in the order in which they run.
        kernels: The layers' weights, in the order of the operators.
        tensors: All tensors of all subgraphs.
        metadata: Names of the metadata entries.
        signatures: Name → signature.
    """

    bytes: int
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    operators: list[Operator]
    kernels: list[Kernel]
    tensors: list[Tensor]
    metadata: list[str]
    signatures: dict[str, Signature]

    @property
    def operator_counts(self) -> dict[str, int]:
        """Name of an operator → how many of them there are, the commonest first."""
        counts = Counter(operator.name for operator in self.operators)
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    @property
    def activation_dtypes(self) -> dict[str, int]:
        """Dtype → number of tensors that are not constant."""
        return dict(sorted(Counter(t.dtype for t in self.tensors if not t.constant).items()))

    @property
    def sparse_tensors(self) -> list[str]:
        """Names of the tensors of which only the nonzero values are stored."""
        return [tensor.name for tensor in self.tensors if tensor.sparse]

    def layer_kernels(self, layers: Iterable[str]) -> dict[str, list[Kernel]]:
        """Layer → its kernels.

        Args:
            layers: Names of Keras layers. One that the file does not have is left out.
        """
        found = {}
        for layer in layers:
            own = [kernel for kernel in self.kernels if layer in kernel.layers]
            # A separable convolution is two operators, of which TFMOT prunes the second.
            own = [kernel for kernel in own if kernel.operator != "DEPTHWISE_CONV_2D"] or own
            if own:
                found[layer] = own
        return found


def has_identifier(path: str | os.PathLike[str]) -> bool:
    """Whether a file has the FlatBuffers identifier of TFLite, `TFL3`."""
    with open(path, "rb") as file:
        return _identified(file.read(8))


def _identified(content: bytes) -> bool:
    return len(content) >= 8 and schema.Model.ModelBufferHasIdentifier(content, 0)


def read(path: str | os.PathLike[str]) -> TFLiteFile:
    """Reads a TFLite file.

    Raises:
        TFLiteFileError: If it is missing, empty, not a TFLite file, or broken.
    """
    path = os.fspath(path)
    try:
        # Not by read_model, which leaves a file descriptor open.
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise TFLiteFileError(path, f"cannot be read: {error.strerror or error}") from error
    return parse(content, path)


def parse(content: bytes, name: str = "the file") -> TFLiteFile:
    """Reads a TFLite file that is in memory.

    Args:
        content: The whole file.
        name: What an error calls it.

    Raises:
        TFLiteFileError: If it is empty, not a TFLite file, or broken.
    """
    if not content:
        raise TFLiteFileError(name, "is empty")
    if not _identified(content):
        raise TFLiteFileError(name, "is not a TFLite file: it lacks the identifier TFL3")
    try:
        return _Reader(flatbuffer_utils.read_model_from_bytearray(content)).file(len(content))
    except _MALFORMED as error:
        raise TFLiteFileError(
            name,
            "is a broken TFLite file, cut off or changed after it was written "
            f"({type(error).__name__}: {error})",
        ) from error


class _Reader:
    """Turns the schema's objects into ours."""

    def __init__(self, model: Any):
        self._model = model
        self._operator_names = _names_of(schema.BuiltinOperator)
        self._dtypes = {value: name.lower() for value, name in _names_of(schema.TensorType).items()}
        self._graphs = [[self._tensor(t) for t in graph.tensors or []] for graph in model.subgraphs]

    def file(self, size: int) -> TFLiteFile:
        """Everything that the file holds."""
        model = self._model
        signatures = {
            signature.signatureKey.decode(): Signature(
                self._named(signature, signature.inputs), self._named(signature, signature.outputs)
            )
            for signature in model.signatureDefs or []
        }
        main = signatures.get(SIGNATURE) or self._main_subgraph()
        subgraphs = [self._subgraph(number) for number in range(len(model.subgraphs))]
        return TFLiteFile(
            bytes=size,
            inputs=main.inputs,
            outputs=main.outputs,
            operators=[operator for subgraph in subgraphs for operator in subgraph.operators()],
            kernels=[kernel for subgraph in subgraphs for kernel in subgraph.kernels()],
            tensors=[tensor for graph in self._graphs for tensor in graph],
            metadata=[entry.name.decode() for entry in model.metadata or []],
            signatures=signatures,
        )

    def _tensor(self, stored: Any) -> Tensor:
        quantization = stored.quantization
        scales = getattr(quantization, "scale", None)
        zero_points = getattr(quantization, "zeroPoint", None)
        scales = np.asarray([] if scales is None else scales, np.float32)
        if zero_points is None:
            zero_points = np.zeros(scales.size, np.int64)
        shape = stored.shapeSignature if stored.shapeSignature is not None else stored.shape
        values = len(self._raw(stored))
        return Tensor(
            name=(stored.name or b"").decode(),
            dtype=self._dtypes[stored.type],
            shape=tuple(int(size) for size in _indices(shape)),
            bytes=values + (encoding.index_bytes(stored.sparsity) if values else 0),
            buffer=int(stored.buffer),
            scales=scales,
            zero_points=np.asarray(zero_points, np.int64),
            channel_axis=int(getattr(quantization, "quantizedDimension", 0) or 0),
            sparse=stored.sparsity is not None,
        )

    def _raw(self, stored: Any) -> Any:
        data = self._model.buffers[stored.buffer].data
        return b"" if data is None else data

    def _named(self, signature: Any, ends: Any) -> dict[str, Tensor]:
        tensors = self._graphs[signature.subgraphIndex]
        return {entry.name.decode(): tensors[entry.tensorIndex] for entry in ends or []}

    def _main_subgraph(self) -> Signature:
        graph, tensors = self._model.subgraphs[0], self._graphs[0]
        inputs, outputs = (
            {tensors[index].name: tensors[index] for index in ends}
            for ends in (graph.inputs, graph.outputs)
        )
        return Signature(inputs, outputs)

    def _subgraph(self, number: int) -> _Subgraph:
        graph = self._model.subgraphs[number]
        returned = {
            int(entry.tensorIndex): entry.name.decode()
            for signature in self._model.signatureDefs or []
            if signature.subgraphIndex == number
            for entry in signature.outputs or []
        }
        uses = [
            _Use(self._operator_name(stored), _indices(stored.inputs), _indices(stored.outputs), stored)
            for stored in graph.operators or []
        ]
        tensors = self._graphs[number]
        return _Subgraph(uses, tensors, returned, lambda i: self._values(graph.tensors[i], tensors[i]))

    def _operator_name(self, stored: Any) -> str:
        code = self._model.operatorCodes[stored.opcodeIndex]
        if code.customCode is not None:
            return str(code.customCode.decode())
        return self._operator_names[flatbuffer_utils.get_builtin_code_from_operator_code(code)]

    def _values(self, stored: Any, tensor: Tensor) -> npt.NDArray[Any]:
        raw = np.frombuffer(self._raw(stored), np.uint8)
        if tensor.dtype in _PACKED_BITS:
            values = encoding.unpack(
                raw, _PACKED_BITS[tensor.dtype], signed=not tensor.dtype.startswith("u")
            )
        else:
            values = raw.view(np.dtype(tensor.dtype).newbyteorder("<"))
        if stored.sparsity is not None:
            return encoding.densify(values, tensor.shape, stored.sparsity)
        # Packed values may end with padding in the last byte.
        return values[: int(np.prod(tensor.shape))].reshape(tensor.shape)


@dataclass(frozen=True, eq=False)
class _Use:
    """An operator of a subgraph, with the numbers of its tensors; −1 for one that is left out."""

    name: str
    inputs: list[int]
    outputs: list[int]
    stored: Any


class _Subgraph:
    """The operators of a subgraph, and the kernels that they use."""

    def __init__(
        self,
        uses: list[_Use],
        tensors: list[Tensor],
        returned: dict[int, str],
        values: Callable[[int], npt.NDArray[Any]],
    ):
        self._uses = uses
        self._tensors = tensors
        self._values = values
        self._written_by = {output: use for use in uses for output in use.outputs}
        # The result of an operator may be cast before it is returned.
        self._returned = {self._source(index): name for index, name in returned.items()} | returned

    def operators(self) -> list[Operator]:
        """The operators, in the order in which they run."""
        return [
            Operator(
                use.name,
                tuple(self._tensors[index] if index >= 0 else None for index in use.inputs),
                tuple(self._tensors[index] for index in use.outputs),
                layer_path.layers_of([self._written(use)]),
                layer_path.layer_with_kernel([self._written(use)]),
            )
            for use in self._uses
        ]

    def kernels(self) -> list[Kernel]:
        """The kernels, each constant once."""
        users: dict[int, list[_Use]] = {}
        for use in self._uses:
            for place in KERNEL_USES[use.name].inputs if use.name in KERNEL_USES else ():
                index = self._constant_behind(use, place)
                if index is not None and self._tensors[index].dtype in _KERNEL_DTYPES:
                    users.setdefault(index, []).append(use)
        return [self._kernel(index, own) for index, own in users.items()]

    def _kernel(self, index: int, users: list[_Use]) -> Kernel:
        use, tensor = users[0], self._tensors[index]
        bias = KERNEL_USES[use.name].bias
        found = None if bias is None else self._constant_behind(use, bias)
        written = [self._written(user) for user in users]
        values = self._values(index)
        numbers = [values, tensor.scales]
        if found is not None and self._tensors[found].dtype.startswith("float"):
            numbers.append(self._values(found))
        return Kernel(
            operator=use.name,
            layers=layer_path.layers_of(written),
            values=values,
            dtype=tensor.dtype,
            scales=tensor.scales,
            zero_points=tensor.zero_points if tensor.zero_points.size else np.zeros(1, np.int64),
            channel_axis=tensor.channel_axis,
            output_axis=_output_axis(use, index, len(tensor.shape)),
            bytes=tensor.bytes,
            sparse=tensor.sparse,
            layer=layer_path.layer_with_kernel(written),
            tensor=tensor.name,
            buffer=tensor.buffer,
            bias=None if found is None else self._tensors[found],
            not_finite=sum(
                int(np.count_nonzero(~np.isfinite(array))) for array in numbers if array.dtype.kind == "f"
            ),
        )

    def _written(self, use: _Use) -> Written:
        if not use.outputs:
            return "", ""
        first = use.outputs[0]
        return self._tensors[first].name, self._returned.get(first, "")

    def _constant_behind(self, use: _Use, place: int) -> int | None:
        """The constant that an operator takes as one of its inputs, if it is one."""
        if place >= len(use.inputs) or use.inputs[place] < 0:
            return None
        index = self._source(use.inputs[place], len(_PASSED_THROUGH))
        return index if self._tensors[index].constant else None

    def _source(self, index: int, casts: int = 1) -> int:
        """The tensor whose values another one has, before at most a number of casts."""
        for _ in range(casts):
            writer = self._written_by.get(index)
            if writer is None or writer.name not in _PASSED_THROUGH:
                break
            index = writer.inputs[0]
        return index


def _indices(stored: Any) -> list[int]:
    """A vector of the schema, which is None if it is empty."""
    return [] if stored is None else [int(index) for index in stored]


def _names_of(enumeration: Any) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _output_axis(use: _Use, index: int, dimensions: int) -> int:
    """Axis of a kernel with the output channels, counted from the front."""
    axis = KERNEL_USES[use.name].output_axis
    if use.name == "BATCH_MATMUL":
        # [..., k, columns] on the right, unless it says that it is transposed; the left one mirrors it.
        right, options = index == use.inputs[1], use.stored.builtinOptions
        adjoint = options and getattr(options, "adjY" if right else "adjX")
        axis = -1 if right != bool(adjoint) else -2
    return axis % dimensions if dimensions else 0
