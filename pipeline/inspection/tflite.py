"""Inspecting a TFLite file, without TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from components.common.tflite import tflite_file
from components.common.tflite.kernel import Kernel
from components.common.tflite.operator import Tensor
from components.common.tflite.tflite_file import TFLiteFile, TFLiteFileError
from pipeline.inspection.contents import (
    TFLITE,
    Inspection,
    InspectionError,
    Layer,
    Port,
    Signature,
    TensorRow,
    sizes,
)
from pipeline.inspection.trial import attempt


def inspect_tflite(path: Path) -> Inspection:
    """Reads a TFLite file, and tries it on LiteRT.

    Raises:
        InspectionError: If it is broken.
    """
    try:
        file = tflite_file.read(path)
    except TFLiteFileError as error:
        raise InspectionError(error.reason) from error
    found = {
        name: (signature.inputs, signature.outputs) for name, signature in file.signatures.items()
    } or {"main": (file.inputs, file.outputs)}
    return Inspection(
        str(path),
        TFLITE,
        *sizes(path),
        parameters=_parameters(file),
        signatures={
            name: Signature(*({key: _port(tensor) for key, tensor in side.items()} for side in sides))
            for name, sides in found.items()
        },
        operators=file.operator_counts,
        layers=_layers(file),
        activations=file.activation_dtypes,
        metadata=file.metadata,
        tensors=[_row(tensor) for tensor in file.tensors],
        trial=attempt(path),
    )


def _shape(tensor: Tensor) -> tuple[int | None, ...]:
    return tuple(None if size < 0 else size for size in tensor.shape)


def _scale(tensor: Tensor) -> float | None:
    """The scale, if there is one: the shortest number that float32 holds it by."""
    return float(str(tensor.scales[0])) if tensor.scales.size == 1 else None


def _zero_point(tensor: Tensor) -> int | None:
    values = np.unique(tensor.zero_points)
    return int(values[0]) if values.size == 1 and tensor.scales.size else None


def _port(tensor: Tensor) -> Port:
    return Port(_shape(tensor), tensor.dtype, _scale(tensor), _zero_point(tensor))


def _row(tensor: Tensor) -> TensorRow:
    return TensorRow(
        name=tensor.name,
        dtype=tensor.dtype,
        shape=_shape(tensor),
        bytes=tensor.bytes,
        scales=int(tensor.scales.size),
        scale=_scale(tensor),
        zero_point=_zero_point(tensor),
        channel_axis=tensor.channel_axis if tensor.scales.size > 1 else None,
        sparse=tensor.sparse,
    )


def _parameters(file: TFLiteFile) -> int:
    """Number of constants that are real numbers; those that tensors share count once."""
    constants = {
        tensor.buffer: tensor
        for tensor in file.tensors
        if tensor.constant and (tensor.scales.size or "float" in tensor.dtype)
    }
    return sum(int(np.prod(tensor.shape)) for tensor in constants.values())


def _layers(file: TFLiteFile) -> list[Layer]:
    counted: set[int] = set()
    return [_layer(kernel, counted) for kernel in file.kernels]


def _layer(kernel: Kernel, counted: set[int]) -> Layer:
    """A kernel with its bias. Bytes that another layer has as well count for the first of them."""
    size = 0
    for buffer, count in (
        (kernel.buffer, kernel.bytes),
        *([(kernel.bias.buffer, kernel.bias.bytes)] if kernel.bias else []),
    ):
        size += 0 if buffer in counted else count
        counted.add(buffer)
    return Layer(
        name=kernel.layer,
        kind=kernel.operator,
        shape=kernel.values.shape,
        dtype=kernel.dtype,
        parameters=kernel.values.size + (int(np.prod(kernel.bias.shape)) if kernel.bias else 0),
        bytes=size,
        sparsity=round(kernel.sparsity(), 6),
        unique=kernel.unique(),
        unique_per_channel=kernel.unique_per_channel(),
        sparse=kernel.sparse,
    )
