"""Tensors and layers' weights of a TFLite file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Axis of the input channels in a kernel.
_INPUT_AXIS = {
    "CONV_2D": -1,
    "FULLY_CONNECTED": -1,
    "TRANSPOSE_CONV": -1,
    "CONV_3D": -2,
    "CONV_3D_TRANSPOSE": -1,
}


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of a TFLite file.

    Attributes:
        name: As the converter gave it.
        dtype: As NumPy calls it; "string", "int4", "resource" … for what NumPy does not have.
        shape: Length of each axis, −1 where it is not fixed.
        bytes: What its values take in the file, with their indices where it is sparse-encoded; 0 where
            it is not constant.
        buffer: Number of the buffer with its values, which tensors with the same values share.
        scales: Real size of one step, one per channel or one for all; empty where not quantized.
        zero_points: The stored values that stand for zero, as many as scales.
        channel_axis: Axis that `scales` goes along.
        sparse: Whether only its nonzero values are stored.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    buffer: int
    scales: np.ndarray
    zero_points: np.ndarray
    channel_axis: int
    sparse: bool

    @property
    def constant(self) -> bool:
        """Whether its values are in the file."""
        return self.bytes > 0


@dataclass(frozen=True, eq=False)
class Kernel:
    """The weights of a layer in a TFLite file.

    Attributes:
        operator: Name of the TFLite operator.
        layers: Names of Keras layers that were fused into it.
        values: The weights as stored: integers where they are quantized; dense also where the file
            stores only the nonzero ones. int4 comes as int8.
        dtype: Of the values in the file, as NumPy calls it, or "int4".
        scales: Real size of one step, one per channel or one for all; empty where not quantized.
        zero_points: The stored value that stands for zero; one per channel or one for all.
        channel_axis: Axis of `values` that `scales` and `zero_points` go along.
        output_axis: Axis of `values` with the output channels.
        bytes: What the values take in the file.
        sparse: Whether only the nonzero values are stored.
        layer: The layer whose weights these are; of the fused ones, that with the kernel.
        tensor: Name of the constant tensor.
        buffer: Number of the buffer with the values.
        bias: The operator's bias, where it has a constant one.
    """

    operator: str
    layers: frozenset[str]
    values: np.ndarray
    dtype: str
    scales: np.ndarray
    zero_points: np.ndarray
    channel_axis: int
    output_axis: int
    bytes: int
    sparse: bool
    layer: str = ""
    tensor: str = ""
    buffer: int = 0
    bias: Tensor | None = None

    def zeros(self) -> np.ndarray:
        """Which of the weights stand for exactly zero: a mask of the shape of `values`."""
        zero = self.zero_points
        if zero.size > 1:
            shape = [1] * self.values.ndim
            shape[self.channel_axis] = -1
            zero = zero.reshape(shape)
        return self.values == zero

    def sparsity(self) -> float:
        """Share of the weights that stand for exactly zero."""
        return float(np.mean(self.zeros()))

    def unique(self) -> int:
        """Number of distinct stored values in the whole kernel."""
        return int(np.unique(self.values).size)

    def unique_per_channel(self) -> int:
        """Greatest number of distinct stored values within one output channel."""
        channels = np.moveaxis(self.values, self.output_axis, 0).reshape(
            self.values.shape[self.output_axis], -1
        )
        return max(int(np.unique(channel).size) for channel in channels)

    def m_by_n(self, m: int, n: int) -> float | None:
        """Share of the blocks of n weights in a row that have at least m zeros.

        Blocks follow one another along the input channels and begin anew for each position and each
        output channel; what is left at the end, fewer than n, is no block.
        https://www.tensorflow.org/model_optimization/guide/pruning/pruning_with_sparsity_2_by_4

        Args:
            m: Zeros.
            n: Length of a block.

        Returns:
            The share; None where there is no whole block, or the operator has no such axis.
        """
        axis = _INPUT_AXIS.get(self.operator)
        if axis is None or self.values.ndim < -axis:
            return None
        rows = np.moveaxis(self.zeros(), axis, -1)
        rows = rows.reshape(-1, rows.shape[-1])
        count = rows.shape[1] // n
        blocks = rows[:, : count * n].reshape(-1, n)
        return float(np.mean(blocks.sum(axis=1) >= m)) if len(blocks) else None
