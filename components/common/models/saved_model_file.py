"""The content of saved_model.pb, read without TensorFlow: it is not loaded, so none of it runs.

The messages are TensorFlow's (tensorflow/core/protobuf/saved_model.proto, meta_graph.proto,
trackable_object_graph.proto), with the few fields that are read here; protobuf skips the others.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import DecodeError

from components.common.base import compatibility
from components.common.models import operator_faults
from components.common.models.model_format_error import ModelFormatError

_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "int64": _FIELD.TYPE_INT64,
    "int32": _FIELD.TYPE_INT32,
    "bool": _FIELD.TYPE_BOOL,
    # Names come as bytes: text that is not UTF-8 must not stop the search for operators.
    "bytes": _FIELD.TYPE_BYTES,
    "fixed32": _FIELD.TYPE_FIXED32,
}
# Message → field → (number, type, whether it is repeated). Maps are repeated entries.
_MESSAGES: dict[str, dict[str, tuple[int, str, bool]]] = {
    "SavedModel": {"meta_graphs": (2, "MetaGraphDef", True)},
    "MetaGraphDef": {
        "graph_def": (2, "GraphDef", False),
        "signature_def": (5, "SignatureEntry", True),
        "asset_file_def": (6, "AssetFileDef", True),
    },
    "GraphDef": {"node": (1, "NodeDef", True), "library": (2, "FunctionDefLibrary", False)},
    "NodeDef": {
        "name": (1, "bytes", False),
        "op": (2, "bytes", False),
        "input": (3, "bytes", True),
        "attr": (5, "AttrEntry", True),
    },
    "AttrEntry": {"key": (1, "bytes", False), "value": (2, "AttrValue", False)},
    "AttrValue": {
        "list": (1, "AttrList", False),
        "s": (2, "bytes", False),
        "func": (10, "NameAttrList", False),
    },
    "AttrList": {"func": (9, "NameAttrList", True)},
    "NameAttrList": {"name": (1, "bytes", False)},
    "FunctionDefLibrary": {"function": (1, "FunctionDef", True)},
    "FunctionDef": {"signature": (1, "OpDef", False), "node_def": (3, "NodeDef", True)},
    "OpDef": {"name": (1, "bytes", False)},
    "SignatureEntry": {"key": (1, "bytes", False), "value": (2, "SignatureDef", False)},
    "SignatureDef": {"inputs": (1, "TensorEntry", True), "outputs": (2, "TensorEntry", True)},
    "TensorEntry": {"key": (1, "bytes", False), "value": (2, "TensorInfo", False)},
    "TensorInfo": {
        "name": (1, "bytes", False),
        "dtype": (2, "int32", False),
        "tensor_shape": (3, "TensorShapeProto", False),
    },
    "TensorShapeProto": {"dim": (2, "Dim", True), "unknown_rank": (3, "bool", False)},
    "Dim": {"size": (1, "int64", False)},
    "AssetFileDef": {"filename": (2, "bytes", False)},
    # keras_metadata.pb
    "SavedMetadata": {"nodes": (1, "SavedObject", True)},
    "SavedObject": {
        "node_path": (3, "bytes", False),
        "identifier": (4, "bytes", False),
        "metadata": (5, "bytes", False),
    },
    # Files of a checkpoint.
    "BundleHeaderProto": {"num_shards": (1, "int32", False), "endianness": (2, "int32", False)},
    "BundleEntryProto": {
        "dtype": (1, "int32", False),
        "shape": (2, "TensorShapeProto", False),
        "shard_id": (3, "int32", False),
        "offset": (4, "int64", False),
        "size": (5, "int64", False),
    },
    "TrackableObjectGraph": {"nodes": (1, "TrackableObject", True)},
    "TrackableObject": {"attributes": (2, "SerializedTensor", True)},
    "SerializedTensor": {
        "name": (1, "bytes", False),
        "full_name": (2, "bytes", False),
        "checkpoint_key": (3, "bytes", False),
    },
}

# tensorflow/core/framework/types.proto; what is not listed here is shown by its number.
DTYPES = {
    **{
        1: "float32",
        2: "float64",
        3: "int32",
        4: "uint8",
        5: "int16",
        6: "int8",
        7: "string",
        8: "complex64",
    },
    **{9: "int64", 10: "bool", 11: "qint8", 12: "quint8", 13: "qint32", 14: "bfloat16", 15: "qint16"},
    **{16: "quint16", 17: "uint16", 18: "complex128", 19: "float16", 20: "resource", 21: "variant"},
    **{22: "uint32", 23: "uint64"},
}

# Operators that run Python, or that read or write files or the network as the model's author says. By name, as a
# file that holds one needs no other mark.
FORBIDDEN = frozenset(
    {
        # Python and code of other libraries
        *("PyFunc", "PyFuncStateless", "EagerPyFunc", "XlaCustomCall", "XlaCustomCallV2", "RemoteCall"),
        # files
        *("ReadFile", "WriteFile", "MatchingFiles", "ImmutableConst", "RecordInput"),
        *("WholeFileReader", "WholeFileReaderV2", "TextLineReader", "TextLineReaderV2", "LMDBReader"),
        *("FixedLengthRecordReader", "FixedLengthRecordReaderV2", "TFRecordReader", "TFRecordReaderV2"),
        *("Save", "SaveSlices", "Restore", "RestoreSlice", "LoadAndRemapMatrix", "GenerateVocabRemapping"),
        *("DecodeProtoV2", "EncodeProto", "FileSystemSetConfiguration"),
        # data sets
        *("TextLineDataset", "TFRecordDataset", "TFRecordDatasetV2", "FixedLengthRecordDataset"),
        *(
            "FixedLengthRecordDatasetV2",
            "SqlDataset",
            "ExperimentalSqlDataset",
            "CSVDataset",
            "CSVDatasetV2",
        ),
        *(
            "ExperimentalCSVDataset",
            "LMDBDataset",
            "ExperimentalLMDBDataset",
            "CacheDataset",
            "CacheDatasetV2",
        ),
        *("SnapshotDataset", "SnapshotDatasetV2", "SnapshotDatasetReader", "SnapshotNestedDatasetReader"),
        *(
            "SnapshotChunkDataset",
            "ListSnapshotChunksDataset",
            "SaveDataset",
            "SaveDatasetV2",
            "LoadDataset",
        ),
        *("MatchingFilesDataset", "ExperimentalMatchingFilesDataset", "DatasetToTFRecord"),
        *("ExperimentalDatasetToTFRecord", "DistributedSave"),
        # the network
        *("DataServiceDataset", "DataServiceDatasetV2", "DataServiceDatasetV3", "DataServiceDatasetV4"),
        *("RegisterDataset", "RegisterDatasetV2", "RpcCall", "RpcClient", "RpcServer", "RpcServerRegister"),
        *("RpcServerStart", "Rpc", "TryRpc", "InitializeTRTResource", "SerializeTRTResource"),
        # logs
        *("CreateSummaryFileWriter", "CreateSummaryDbWriter", "WriteSummary", "WriteRawProtoSummary"),
        *("WriteScalarSummary", "WriteHistogramSummary", "WriteImageSummary", "WriteAudioSummary"),
        *("WriteGraphSummary", "ImportEvent", "StatsAggregatorSetSummaryWriter"),
        *("DebugIdentity", "DebugIdentityV2", "DebugIdentityV3", "DebugNanCount", "DebugNumericSummary"),
        *("DebugNumericSummaryV2",),
    }
)
# Every SavedModel has these, to save and restore itself; a signature that calls one writes or reads other files.
_SAVER = frozenset({"SaveV2", "RestoreV2", "MergeV2Checkpoints"})


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a signature; `shape` is None if its rank is not known."""

    shape: tuple[int | None, ...] | None
    dtype: str


@dataclass(frozen=True)
class SavedSignature:
    """Inputs and outputs of a signature, by name."""

    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]


@dataclass(frozen=True)
class SavedGraph:
    """The content of a SavedModel's graph.

    Attributes:
        signatures: By name, sorted.
        operators: Name of each operator of the functions that the signatures call, as often as it is there.
        forbidden: Names of operators that are not to run, sorted; see `FORBIDDEN`.
        unrepeatable: Signature → what keeps its predictions from being the same again, if something does; see
            `components.common.models.repeatable`.
        outside_assets: Assets that are not below the model's folder, as the file names them.
    """

    signatures: dict[str, SavedSignature]
    operators: tuple[str, ...]
    forbidden: tuple[str, ...]
    outside_assets: tuple[str, ...] = ()
    unrepeatable: Mapping[str, str] = field(default_factory=dict)


def read(folder: str | Path) -> SavedGraph:
    """Reads saved_model.pb in a SavedModel's folder.

    Raises:
        ModelFormatError: If it is damaged.
        OSError: If it cannot be read.
    """
    saved = parse("SavedModel", (Path(folder) / "saved_model.pb").read_bytes(), "saved_model.pb")
    if not saved.meta_graphs:
        raise ModelFormatError("has a damaged saved_model.pb, without a graph; fetch or save it again")
    signatures: dict[str, SavedSignature] = {}
    operators: list[str] = []
    forbidden: set[str] = set()
    outside: set[str] = set()
    unrepeatable: dict[str, str] = {}
    for graph in saved.meta_graphs:
        called = [text(node.op) for node in _called(graph, graph.signature_def)]
        operators += called
        if any(map(operator_faults.fault, set(called))):
            unrepeatable |= _unrepeatable(graph)
        forbidden |= FORBIDDEN.intersection(_all_operators(graph)) | _SAVER.intersection(called)
        forbidden |= _printing_to_files(graph)
        outside |= {name for asset in graph.asset_file_def if not _is_below(name := text(asset.filename))}
        for entry in graph.signature_def:
            if not (name := text(entry.key)).startswith("__saved_model_"):  # init_op, train_op
                signatures[name] = SavedSignature(
                    _tensors(entry.value.inputs), _tensors(entry.value.outputs)
                )
    return SavedGraph(
        dict(sorted(signatures.items())),
        tuple(operators),
        tuple(sorted(forbidden)),
        tuple(sorted(outside)),
        unrepeatable,
    )


def keras_metadata(content: bytes) -> list[tuple[str, str, str]]:
    """Path, identifier and JSON of each object that keras_metadata.pb describes.

    Raises:
        ModelFormatError: If it is damaged.
    """
    nodes = parse("SavedMetadata", content, "keras_metadata.pb").nodes
    return [(text(node.node_path), text(node.identifier), text(node.metadata)) for node in nodes]


def parse(message: str, content: bytes, name: str) -> Any:
    """Parses one of the messages above.

    Raises:
        ModelFormatError: If that is not one; the message names the file.
    """
    try:
        with warnings.catch_warnings(record=True) as cut_short:
            warnings.simplefilter("always")
            found = _classes()[message].FromString(content)
    except (DecodeError, RuntimeError) as error:
        raise ModelFormatError(f"has a damaged {name} ({error}); fetch or save it again") from error
    if cut_short:  # protobuf's warning that not all of it was read
        raise ModelFormatError(f"has a damaged {name} ({cut_short[0].message}); fetch or save it again")
    return found


def text(value: bytes) -> str:
    """A name in a file as text."""
    return value.decode(errors="replace")


def shape(proto: Any) -> tuple[int | None, ...] | None:
    """Length of each axis, None if it is free; None as a whole if the rank is."""
    if proto.unknown_rank:
        return None
    return tuple(None if dim.size < 0 else dim.size for dim in proto.dim)


def dtype_name(number: int) -> str:
    """Name of a DataType, of references, too."""
    return DTYPES.get(number % 100, f"dtype {number}")


@cache
def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="paredown/saved_model_file.proto", package="paredown.saved", syntax="proto2"
    )
    for message, fields in _MESSAGES.items():
        added = file.message_type.add(name=message)
        for name, (number, kind, repeated) in fields.items():
            label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
            if kind in _SCALARS:
                added.field.add(name=name, number=number, label=label, type=_SCALARS[kind])
            else:
                full = f".paredown.saved.{kind}"
                added.field.add(
                    name=name, number=number, label=label, type=_FIELD.TYPE_MESSAGE, type_name=full
                )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: compatibility.message_class(pool, f"paredown.saved.{name}") for name in _MESSAGES}


def _tensors(entries: Iterable[Any]) -> dict[str, TensorInfo]:
    found = {
        text(entry.key): TensorInfo(shape(entry.value.tensor_shape), dtype_name(entry.value.dtype))
        for entry in entries
    }
    return dict(sorted(found.items()))


def _all_nodes(graph: Any) -> Iterator[Any]:
    yield from graph.graph_def.node
    for function in graph.graph_def.library.function:
        yield from function.node_def


def _all_operators(graph: Any) -> Iterator[str]:
    for node in _all_nodes(graph):
        yield text(node.op)


def _printing_to_files(graph: Any) -> set[str]:
    """PrintV2 if it prints to a file in place of a stream."""
    for node in _all_nodes(graph):
        if node.op == b"PrintV2":
            for entry in node.attr:
                if entry.key == b"output_stream" and entry.value.s.startswith(b"file:"):
                    return {"PrintV2"}
    return set()


def _unrepeatable(graph: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in graph.signature_def:
        for node in _called(graph, [entry]):
            if fault := operator_faults.fault(operator := text(node.op)):
                # In `model/lstm/AssignVariableOp`, the part before the operator names the layer.
                scope = text(node.name).rpartition("/")[0]
                found[text(entry.key)] = operator_faults.message(scope, fault, operator)
                break
    return found


def _called(graph: Any, signatures: Iterable[Any]) -> Iterator[Any]:
    """Nodes of what signatures compute, with the functions that they call."""
    nodes = {node.name: node for node in graph.graph_def.node}
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    ends = [entry.value for signature in signatures for entry in signature.value.outputs]
    waiting = [_node_name(end.name) for end in ends]
    seen: set[bytes] = set()
    calls: list[bytes] = []
    while waiting:
        name = waiting.pop()
        if name in seen or name not in nodes:
            continue
        seen.add(name)
        yield nodes[name]
        calls += _functions_of(nodes[name])
        waiting += [_node_name(entry) for entry in nodes[name].input]
    done: set[bytes] = set()
    while calls:
        name = calls.pop()
        if name in done or name not in functions:
            continue
        done.add(name)
        for node in functions[name].node_def:
            yield node
            calls += _functions_of(node)


def _functions_of(node: Any) -> Iterator[bytes]:
    yield node.op  # a function may be called like an operator
    for entry in node.attr:
        yield entry.value.func.name
        yield from (function.name for function in entry.value.list.func)


def _node_name(tensor: bytes) -> bytes:
    return tensor.lstrip(b"^").partition(b":")[0]


def _is_below(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in name and "://" not in name
