"""The content of a model file: its signatures, operators, and weights layer by layer."""

from __future__ import annotations

import gzip
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from components.common.base.errors import ParedownError

TFLITE = "tflite"
SAVED_MODEL = "saved_model"
KERAS = "keras"


class InspectionError(ParedownError):
    """A path that cannot be inspected; the message says why, and what can be."""


@dataclass(frozen=True)
class Port:
    """An input or output of a signature.

    Attributes:
        shape: Length of each axis, None if it is free; None as a whole if the rank is.
        dtype: As NumPy calls it, or "string".
        scale: Real size of one step of a quantized one.
        zero_point: Its stored value of zero.
    """

    shape: tuple[int | None, ...] | None
    dtype: str
    scale: float | None = None
    zero_point: int | None = None


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of a function of the model, by name."""

    inputs: dict[str, Port]
    outputs: dict[str, Port]


@dataclass(frozen=True)
class Layer:
    """The weights of a layer.

    Attributes:
        name: Name of the Keras layer, as far as the file says.
        kind: TFLite operator or Keras class that uses them; "" if the file does not say.
        shape: Shape of the kernel, as the file has it; None if the layer has no kernel.
        dtype: Dtype of the kernel, else of the first of the other weights.
        parameters: Number of its weights, with the bias.
        bytes: What they take.
        sparsity: Share of the kernel's weights that stand for zero.
        unique: Number of distinct values in the kernel.
        unique_per_channel: Greatest number of distinct values in one output channel of it.
        sparse: Whether the file stores only the kernel's nonzero values.
    """

    name: str
    kind: str
    shape: tuple[int, ...] | None
    dtype: str
    parameters: int
    bytes: int
    sparsity: float | None = None
    unique: int | None = None
    unique_per_channel: int | None = None
    sparse: bool = False


@dataclass(frozen=True)
class TensorRow:
    """A tensor of a TFLite file.

    Attributes:
        name: As the converter gave it.
        dtype: As NumPy calls it, or "string", "int4" …
        shape: Length of each axis, None if it is free.
        bytes: What it takes in the file; 0 if it is not constant.
        scales: Number of scales: 0 if it is not quantized, 1, or one per channel.
        scale: The scale, if there is one.
        zero_point: The stored value that stands for zero, if it is the same for all channels.
        channel_axis: Axis that several scales go along.
        sparse: Whether only nonzero values are stored.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    bytes: int
    scales: int
    scale: float | None
    zero_point: int | None
    channel_axis: int | None
    sparse: bool


@dataclass(frozen=True)
class Trial:
    """Whether a TFLite file loads and runs.

    Attributes:
        runtime: Name and version.
        loads: Whether the interpreter takes it and its delegate prepares it.
        runs: Whether it can be invoked, on zeros.
        error: Why not.
    """

    runtime: str
    loads: bool
    runs: bool
    error: str | None


@dataclass(frozen=True)
class Inspection:
    """The content of one model.

    Attributes:
        path: The file, or the folder of a SavedModel.
        format: `tflite`, `saved_model` or `keras`.
        bytes: Bytes of the file, or of all files of the folder.
        gzip_bytes: Each file compressed by gzip at level 9.
        parameters: Number of weights, biases and the like; what TFMOT's wrappers add is not counted.
        signatures: Name → signature; a Keras model has one, `call`.
        operators: Name → count, the commonest first: TFLite operators, TensorFlow operations (but for
            constants, reads and calls), or classes of Keras layers.
        layers: Weights layer by layer.
        activations: Dtype → number of tensors that are not constant (TFLite).
        metadata: Names of the metadata entries (TFLite).
        tensors: All tensors (TFLite).
        trial: Whether it loads and runs (TFLite).
        code: What would run code of the file if it were loaded, such as "a Lambda layer".
        needs_load: What cannot be known unless the file is loaded.
    """

    path: str
    format: str
    bytes: int
    gzip_bytes: int
    parameters: int
    signatures: dict[str, Signature]
    operators: dict[str, int]
    layers: list[Layer]
    activations: dict[str, int] = field(default_factory=dict)
    metadata: list[str] = field(default_factory=list)
    tensors: list[TensorRow] = field(default_factory=list)
    trial: Trial | None = None
    code: list[str] = field(default_factory=list)
    needs_load: list[str] = field(default_factory=list)

    def other_bytes(self) -> int:
        """Bytes that are not the weights of a layer: graph, names, metadata, other constants."""
        return max(0, self.bytes - sum(layer.bytes for layer in self.layers))

    def to_json(self, tensors: bool) -> dict[str, Any]:
        """As `--json` prints it.

        Args:
            tensors: Whether to list the tensors.
        """
        values = asdict(self)
        for layer in values["layers"]:
            layer["share"] = round(layer["bytes"] / self.bytes, 6)
        values["other_bytes"] = self.other_bytes()
        if not tensors:
            del values["tensors"]
        return values


@dataclass(frozen=True)
class Unread:
    """A model beside others that cannot be read.

    Attributes:
        path: The file.
        format: As in `Inspection`.
        error: Why.
    """

    path: str
    format: str
    error: str

    def to_json(self, tensors: bool) -> dict[str, Any]:
        """As `--json` prints it; there are no tensors to list."""
        return asdict(self)


def sizes(path: Path) -> tuple[int, int]:
    """Bytes of a file, or of all files of a folder, as they are and each compressed by gzip."""
    files = [path] if path.is_file() else [p for p in sorted(path.rglob("*")) if p.is_file()]
    return (
        sum(os.path.getsize(file) for file in files),
        sum(len(gzip.compress(file.read_bytes(), compresslevel=9, mtime=0)) for file in files),
    )


# Operations that only move values.
PLUMBING = frozenset(
    {
        "Const",
        "Identity",
        "IdentityN",
        "NoOp",
        "PartitionedCall",
        "Placeholder",
        "ReadVariableOp",
        "StatefulPartitionedCall",
        "VarHandleOp",
    }
)


def sorted_counts(names: Iterable[str]) -> dict[str, int]:
    """Name → how often it is there, the commonest first."""
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))
