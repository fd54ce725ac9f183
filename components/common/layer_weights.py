"""Weights of the layers of a model, in Keras and in a TFLite file, and how many of them are zero."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tf_keras

# Operators that a layer's kernel goes into, and as which of their inputs.
_KERNEL_INPUT = {
    "CONV_2D": 1,
    "DEPTHWISE_CONV_2D": 1,
    "FULLY_CONNECTED": 1,
    "TRANSPOSE_CONV": 1,
    "CONV_3D": 1,
    "GATHER": 0,
}
# In the order of preference: of a separable convolution, TFMOT prunes the pointwise half alone.
_KERNEL_NAMES = ("kernel", "pointwise_kernel", "embeddings", "depthwise_kernel")
_WRAPPERS = ("quant_", "prune_low_magnitude_")


@dataclass(frozen=True)
class Kernel:
    """The weights of a layer in a TFLite file.

    Attributes:
        operator: Name of the TFLite operator.
        layers: Names of Keras layers that were fused into it.
        values: The weights as stored: integers where they are quantized.
        zero_point: The stored value that stands for zero; one per output channel or one for all.
        channel_axis: Axis of `values` that `zero_point` goes along.
    """

    operator: str
    layers: frozenset[str]
    values: np.ndarray
    zero_point: np.ndarray
    channel_axis: int

    def sparsity(self) -> float:
        """Share of the weights that stand for exactly zero."""
        zero = self.zero_point
        if zero.size > 1:
            shape = [1] * self.values.ndim
            shape[self.channel_axis] = -1
            zero = zero.reshape(shape)
        return float(np.mean(self.values == zero))


def plain_name(layer: str) -> str:
    """A layer's name without what TFMOT's wrappers put before it."""
    for prefix in _WRAPPERS:
        layer = layer.removeprefix(prefix)
    return layer


def keras_sparsity(model: tf_keras.Model, layers: Iterable[str]) -> dict[str, float]:
    """Layer → share of its kernel's weights that are zero.

    Args:
        model: May be wrapped by TFMOT; layers go by their plain names.
        layers: Names of layers to measure. One that the model does not have is left out.
    """
    wanted = set(layers)
    found = {}
    for layer in model.layers:
        name = plain_name(layer.name)
        if name in wanted:
            found[name] = float(np.mean(kernel_of(layer).numpy() == 0))
    return found


def has_kernel(layer: tf_keras.layers.Layer) -> bool:
    """Whether a layer has a kernel that `kernel_of` finds."""
    try:
        kernel_of(layer)
    except ValueError:
        return False
    return True


def kernel_of(layer: tf_keras.layers.Layer) -> Any:
    """The kernel variable of a layer or of the layer that a wrapper holds.

    Taken from `weights`: inside quantization-aware wrappers the attribute `kernel` is symbolic.

    Raises:
        ValueError: Where the layer has none.
    """
    by_name: dict[str, Any] = {}
    for weight in layer.weights:
        by_name.setdefault(weight.name.rsplit("/", 1)[-1].split(":")[0], weight)
    for name in _KERNEL_NAMES:
        if name in by_name:
            return by_name[name]
    raise ValueError(f"layer {layer.name!r} has no kernel")


def file_sparsity(path: str, layers: Iterable[str]) -> dict[str, float]:
    """Layer → share of its kernel's weights that stand for zero in a TFLite file.

    Args:
        path: The file.
        layers: Names of Keras layers to measure. One that the file does not have is left out.
    """
    found = kernels(path)
    measured = {}
    for layer in layers:
        own = [kernel for kernel in found if layer in kernel.layers]
        # A separable convolution is two operators, of which TFMOT prunes the second.
        own = [kernel for kernel in own if kernel.operator != "DEPTHWISE_CONV_2D"] or own
        if own:
            measured[layer] = min(kernel.sparsity() for kernel in own)
    return measured


def kernels(path: str) -> list[Kernel]:
    """Reads the kernels of a TFLite file.

    An operator is told by its layer from the name of the tensor that it writes, where the converter
    keeps the names of all operations that it fused: `cnn/relu/Relu;cnn/bn/…;cnn/conv/Conv2D`. What
    writes an output of the model has lost that name; there the signature has the layer's.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    operator_names = {
        value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)
    }
    dtypes = {
        schema.TensorType.FLOAT32: np.float32,
        schema.TensorType.FLOAT16: np.float16,
        schema.TensorType.INT8: np.int8,
        schema.TensorType.UINT8: np.uint8,
    }
    model = flatbuffer_utils.read_model(path)
    found = []
    for number, graph in enumerate(model.subgraphs):
        written_by = {output: operator for operator in graph.operators for output in operator.outputs}

        def name_of(operator: Any) -> str:
            code = model.operatorCodes[operator.opcodeIndex]
            return operator_names[max(code.builtinCode, code.deprecatedBuiltinCode)]

        output_names = {}
        for index, layer in _signature_outputs(model, number).items():
            writer = written_by.get(index)
            if writer is not None and name_of(writer) in ("QUANTIZE", "DEQUANTIZE"):
                index = writer.inputs[0]
            output_names[index] = layer
        for operator in graph.operators:
            name = name_of(operator)
            if name not in _KERNEL_INPUT:
                continue
            index = operator.inputs[_KERNEL_INPUT[name]]
            if not _is_constant(model, graph.tensors[index]) and index in written_by:
                index = written_by[index].inputs[0]  # a float16 kernel goes through DEQUANTIZE
            tensor = graph.tensors[index]
            if not _is_constant(model, tensor) or tensor.type not in dtypes:
                continue
            output = operator.outputs[0]
            names = f"{graph.tensors[output].name.decode()};{output_names.get(output, '')}"
            found.append(_kernel(model, name, tensor, dtypes[tensor.type], names))
    return found


def _signature_outputs(model: Any, subgraph: int) -> dict[int, str]:
    """Tensor → the name under which a signature returns it: in Keras, that of the layer it comes from."""
    return {
        output.tensorIndex: output.name.decode()
        for signature in model.signatureDefs or []
        if signature.subgraphIndex == subgraph
        for output in signature.outputs
    }


def _is_constant(model: Any, tensor: Any) -> bool:
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def _kernel(model: Any, operator: str, tensor: Any, dtype: Any, names: str) -> Kernel:
    raw = np.asarray(model.buffers[tensor.buffer].data, np.uint8).tobytes()
    quantization = tensor.quantization
    zero_point = getattr(quantization, "zeroPoint", None)
    parts = {part for operation in names.split(";") for part in operation.split("/")}
    return Kernel(
        operator=operator,
        layers=frozenset(plain_name(part) for part in parts if part),
        values=np.frombuffer(raw, dtype).reshape(tensor.shape),
        zero_point=np.zeros(1, np.int64) if zero_point is None else np.asarray(zero_point),
        channel_axis=getattr(quantization, "quantizedDimension", 0) or 0,
    )
