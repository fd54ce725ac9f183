"""The weights of a layer in a TFLite file, and what the operators that use them make of their axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.common.tflite.operator import Tensor


@dataclass(frozen=True)
class KernelUse:
    """How a TFLite operator uses a layer's kernel.

    Attributes:
        inputs: Which of its inputs are kernels.
        bias: Which of its inputs is the bias.
        output_axis: Axis of the kernel with the output channels.
        input_axis: Axis of the kernel with the input channels; None if it has none.
    """

    inputs: tuple[int, ...] = (1,)
    bias: int | None = None
    output_axis: int = 0
    input_axis: int | None = None


# By operator. Recurrent ones have a kernel for input gate, forget gate, cell and output gate: of the input,
# then of the previous output. Of BATCH_MATMUL either input may be the kernel; see `tflite_file`.
KERNEL_USES = {
    "CONV_2D": KernelUse(bias=2, input_axis=-1),
    "DEPTHWISE_CONV_2D": KernelUse(bias=2, output_axis=-1),
    "FULLY_CONNECTED": KernelUse(bias=2, input_axis=-1),
    "TRANSPOSE_CONV": KernelUse(bias=3, input_axis=-1),
    "CONV_3D": KernelUse(bias=2, output_axis=-1, input_axis=-2),
    "CONV_3D_TRANSPOSE": KernelUse(bias=3, output_axis=-2, input_axis=-1),
    "BATCH_MATMUL": KernelUse(inputs=(0, 1)),
    "GATHER": KernelUse(inputs=(0,), output_axis=-1),
    "EMBEDDING_LOOKUP": KernelUse(output_axis=-1),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": KernelUse(inputs=(1, 2, 3, 4, 5, 6, 7, 8)),
    "UNIDIRECTIONAL_SEQUENCE_RNN": KernelUse(inputs=(1, 2)),
    "LSTM": KernelUse(inputs=(1, 2, 3, 4, 5, 6, 7, 8)),
}


@dataclass(frozen=True, eq=False)
class Kernel:
    """The weights of a layer in a TFLite file.

    Attributes:
        operator: Name of the TFLite operator.
        layers: Names of the Keras layers that were fused into it, and of the inner models and wrappers that
            hold them; see `layer_path`.
        values: The weights as stored: integers if they are quantized; dense also if the file stores only
            the nonzero ones. int4 comes as int8.
        dtype: Dtype of the values in the file, as NumPy calls it, or "int4".
        scales: Real size of one step, one per channel or one for all; empty if they are not quantized.
        zero_points: The stored value that stands for zero; one per channel or one for all.
        channel_axis: Axis of `values` that `scales` and `zero_points` go along.
        output_axis: Axis of `values` with the output channels.
        bytes: Size of the values in the file.
        sparse: Whether only the nonzero values are stored.
        layer: The layer whose weights these are; of the fused ones, that with the kernel.
        tensor: Name of the constant tensor.
        buffer: Number of the buffer with the values.
        bias: The operator's bias, if it has a constant one.
        not_finite: How many weights, biases and scales are NaN or infinite.
    """

    operator: str
    layers: frozenset[str]
    values: npt.NDArray[Any]
    dtype: str
    scales: npt.NDArray[np.float32]
    zero_points: npt.NDArray[np.int64]
    channel_axis: int
    output_axis: int
    bytes: int
    sparse: bool
    layer: str = ""
    tensor: str = ""
    buffer: int = 0
    bias: Tensor | None = None
    not_finite: int = 0

    def zeros(self) -> npt.NDArray[np.bool_]:
        """Which of the weights are exactly zero: a mask of the shape of `values`."""
        zero = self.zero_points
        if zero.size > 1:
            shape = [1] * self.values.ndim
            shape[self.channel_axis] = -1
            zero = zero.reshape(shape)
        return self.values == zero

    def sparsity(self) -> float:
        """Share of the weights that are exactly zero."""
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

        Blocks follow one another along the input channels and start again for each position and each output
        channel. Fewer than n weights at the end are not a block.
        https://www.tensorflow.org/model_optimization/guide/pruning/pruning_with_sparsity_2_by_4

        Args:
            m: Zeros.
            n: Length of a block.

        Returns:
            The share; None if there is no whole block, or the operator has no such axis.
        """
        axis = KERNEL_USES.get(self.operator, KernelUse()).input_axis
        if axis is None or self.values.ndim < -axis:
            return None
        rows = np.moveaxis(self.zeros(), axis, -1)
        rows = rows.reshape(-1, rows.shape[-1])
        count = rows.shape[1] // n
        blocks = rows[:, : count * n].reshape(-1, n)
        return float(np.mean(blocks.sum(axis=1) >= m)) if len(blocks) else None
