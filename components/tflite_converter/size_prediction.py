"""Bytes of a TFLite file, predicted from the shapes of the layers before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass

from components.common.base.layer_names import matches
from components.common.models.invariants import one_scale, zero_share
from components.common.models.model_files import StepRecord
from components.common.tflite.file_types import WIDE_TABLES
from components.common.tflite.kernel import Kernel
from components.common.tflite.tflite_file import TFLiteFile
from components.tflite_converter.params import ConvertOptions, Granularity

# The quantization of an Embedding's table in an int16x8 file.
INT16 = "int16"
# Measured on files of TensorFlow 2.16, in bytes: a scale and its zero point; what else quantization takes
# for a tensor; an operator with the tensor that it writes, and the first of its kind; what fake quantization
# adds to the name of a tensor; how sparse values are laid out.
_PER_SCALE = 12
_PER_QUANTIZED_TENSOR = 33
_PER_OPERATOR = 120
_PER_KIND_OF_OPERATOR = 50
_PER_FAKE_QUANTIZED = 35
_PER_SPARSE_TENSOR = 225
# In int16x8 files, 64-bit zero points of biases are not shared.
_PER_WIDE_BIAS_SCALE = 8
# Dynamic-range quantization leaves smaller kernels in float.
DYNAMIC_FROM = 1024
# The converter stores less sparse kernels densely, and the others sparsely even if that takes more.
SPARSE_FROM = 0.3
_BLOCK = 4
_WIDTH = {"float32": 4, "float16": 2, "dynamic": 1, "int8": 1, "int16x8": 1, INT16: 2}
_BIAS_WIDTH = {"float32": 4, "float16": 2, "dynamic": 4, "int8": 4, "int16x8": 8}
_OTHER_WIDTH = {"float32": 4, "float16": 2, "dynamic": 4, "int8": 1, "int16x8": 2}
_ONE_SCALE = ("FULLY_CONNECTED", "GATHER", "BATCH_MATMUL")


@dataclass(frozen=True)
class Prediction:
    """A file before it is there.

    Attributes:
        size: Its bytes.
        layers: Layer → bytes of its weights, kernel and bias.
        kinds: Layer → the quantization that its weights get; float32 if they stay in float, INT16 if they are int16.
    """

    size: int
    layers: dict[str, int]
    kinds: dict[str, str]


def predict(
    float_file: TFLiteFile, options: ConvertOptions, granularity: Granularity, record: StepRecord
) -> Prediction:
    """Predicts the size of a converted model.

    What is not a weight (operators, names, shapes) is taken from the untrained model as float32 file; the
    weights are counted by their shapes.

    Args:
        float_file: The model, untrained, as float32.
        options: Options of the conversion.
        granularity: What `options.granularity` comes to.
        record: Record of the steps before it.
    """
    mode = options.quantization
    aware = record.quantization_aware
    left_in_float = [*record.float_layers, *options.float_layers]
    size = float_file.bytes
    layers: dict[str, int] = {}
    kinds: dict[str, str] = {}
    seen: set[int] = set()
    casts = sparse = 0
    for kernel in float_file.kernels:
        if kernel.buffer in seen:
            continue
        name = kernel.layer or kernel.tensor
        as_float = matches(name, left_in_float) or kernel.operator in options.float_ops
        as_float = as_float or (mode == "dynamic" and kernel.values.size < DYNAMIC_FROM)
        kind: str = "float32" if as_float else mode
        if kind == "int16x8" and kernel.operator in WIDE_TABLES:
            kind = INT16
        bias = kernel.bias.bytes if kernel.bias is not None and kernel.bias.buffer not in seen else 0
        seen.update([kernel.buffer, *([kernel.bias.buffer] if kernel.bias is not None else [])])
        zeros = sparsity(kernel, record) if options.sparse else 0.0
        weights = _kernel_bytes(kernel, kind, zeros, in_blocks(kernel, record))
        weights += bias // 4 * _BIAS_WIDTH.get(kind, 0)
        size += weights - kernel.bytes - bias
        scales = _scales(kernel, kind, granularity, record if aware else None)
        size += scales * _PER_SCALE + (_PER_QUANTIZED_TENSOR if scales else 0)
        if kind in ("int8", "int16x8") and bias:
            size += scales * _PER_SCALE + _PER_QUANTIZED_TENSOR
            size += scales * _PER_WIDE_BIAS_SCALE if kind == "int16x8" else 0
        casts += (2 if bias else 1) if kind == "float16" else 0
        sparse += zeros >= SPARSE_FROM
        layers[name] = layers.get(name, 0) + weights
        kinds[name] = kind
    size += _other_constants(float_file, seen) * (_OTHER_WIDTH[mode] - 4) // 4
    size += _operators(casts) + _operators(sparse) + sparse * _PER_SPARSE_TENSOR
    if mode in ("int8", "int16x8"):
        values = sum(float_file.activation_dtypes.values())
        size += values * (_PER_SCALE + _PER_QUANTIZED_TENSOR)
        if options.io == "float32":
            size += _operators(len(float_file.inputs)) + _operators(len(float_file.outputs))
        if aware:
            size += _PER_FAKE_QUANTIZED * (values + len(layers))
    return Prediction(size, layers, kinds)


def _operators(count: int) -> int:
    """Bytes of a number of operators of a kind that the float32 file does not have."""
    return count * _PER_OPERATOR + (_PER_KIND_OF_OPERATOR if count else 0)


def _other_constants(float_file: TFLiteFile, weights: set[int]) -> int:
    """Bytes of float constants that are not a kernel or bias of a layer, such as a BatchNormalization's."""
    constants = {tensor.buffer: tensor for tensor in float_file.tensors if tensor.constant}
    return sum(
        tensor.bytes
        for buffer, tensor in constants.items()
        if tensor.dtype == "float32" and buffer not in weights
    )


def _scales(kernel: Kernel, kind: str, granularity: Granularity, aware: StepRecord | None) -> int:
    """How many scales a kernel has in a file.

    Args:
        kernel: The kernel.
        kind: The quantization that it gets.
        granularity: Granularity of post-training quantization.
        aware: The record of a quantization-aware model, whose scales are trained.
    """
    if kind in ("float32", "float16"):
        return 0
    one = granularity == "per-tensor"
    if aware is not None:
        one = one_scale(aware.asked(kernel.layer))
    if one or kernel.operator in _ONE_SCALE:
        return 1
    return int(kernel.values.shape[kernel.output_axis])


def _kernel_bytes(kernel: Kernel, kind: str, zeros: float, blocked: bool) -> int:
    """Bytes of a kernel's values, with those of their indices if it is stored sparsely.

    Of the axes but the last one every row is there, with the number of its nonzero values; of the last one
    the nonzero values are, or blocks of four with one of them, each with its place (CSR).
    https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs (SparsityParameters)
    """
    width = _WIDTH[kind]
    count, columns = int(kernel.values.size), int(kernel.values.shape[-1])
    if zeros < SPARSE_FROM:
        return count * width
    block = _BLOCK if blocked and columns % _BLOCK == 0 else 1
    rows = count // columns
    places = round(count * (1 - zeros) / block)
    return places * (block * width + _index(columns // block)) + (rows + 1) * _index(places + 1)


def _index(count: int) -> int:
    """Bytes of an index with a number of values."""
    return 1 if count <= 1 << 8 else 2 if count <= 1 << 16 else 4


def sparsity(kernel: Kernel, record: StepRecord) -> float:
    """The sparsity that a kernel will have been asked for; 0 if it was not."""
    half = kernel.operator == "DEPTHWISE_CONV_2D"  # of a separable convolution
    return 0.0 if half else zero_share(record.asked(kernel.layer))


def in_blocks(kernel: Kernel, record: StepRecord) -> bool:
    """Whether zeros of a dense layer come in blocks that the sparse encoding can make use of."""
    blocks = [block for asked in record.asked(kernel.layer) if (block := asked.zero_block()) is not None]
    return kernel.operator == "FULLY_CONNECTED" and any(rows % _BLOCK == 0 for rows, _ in blocks)
