"""Operators and tensors of a TFLite file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_CASTS = frozenset({"QUANTIZE", "DEQUANTIZE"})


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of a TFLite file.

    Attributes:
        name: As the converter gave it.
        dtype: As NumPy calls it; "string", "int4", "resource" … for types that NumPy does not have.
        shape: Length of each axis, −1 if it is not fixed.
        bytes: Size of its values in the file, with their indices if it is sparse-encoded; 0 if it is not
            constant.
        buffer: Number of the buffer with its values, which tensors with the same values share.
        scales: Real size of one step, one per channel or one for all; empty if it is not quantized.
        zero_points: The stored values that stand for zero, as many as scales.
        channel_axis: Axis that `scales` goes along.
        sparse: Whether only its nonzero values are stored.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    buffer: int
    scales: npt.NDArray[np.float32]
    zero_points: npt.NDArray[np.int64]
    channel_axis: int
    sparse: bool

    @property
    def constant(self) -> bool:
        """Whether its values are in the file."""
        return self.bytes > 0


@dataclass(frozen=True, eq=False)
class Operator:
    """An operator of a TFLite file.

    Attributes:
        name: As in the schema: CONV_2D; the own name of a custom operator: FlexErf.
        inputs: The tensors that it reads; None for an optional one that is left out.
        outputs: The tensors that it writes.
        layers: Names of the model's layers that were fused into it; see `layer_path`.
        layer: The one of them that it counts as: the one with its kernel, if it has one.
    """

    name: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    layers: frozenset[str]
    layer: str = ""

    @property
    def output(self) -> str:
        """Name of the first tensor that it writes."""
        return self.outputs[0].name

    @property
    def kernel_scales(self) -> int:
        """Number of scales of its second input; 0 if that is not a quantized tensor."""
        kernel = self.inputs[1] if len(self.inputs) > 1 else None
        return 0 if kernel is None else int(kernel.scales.size)

    def dtypes(self) -> set[str]:
        """Types of all tensors that it reads and writes."""
        return {tensor.dtype for tensor in (*self.inputs, *self.outputs) if tensor is not None}

    def in_float(self) -> bool:
        """Whether it computes in float; a cast between float and integers does not compute."""
        return self.name not in _CASTS and bool(self.dtypes() & {"float32", "float16"})

    def quantized(self) -> bool:
        """Whether it computes with quantized integers."""
        return self.name not in _CASTS and not self.in_float() and bool(self.dtypes() & {"int8", "int16"})
