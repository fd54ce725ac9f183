"""Weights of the layers of a model, in Keras and in a TFLite file, and how many of them are zero."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tf_keras

# Operators whose second input is the kernel of a layer.
_KERNEL_OPERATORS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "CONV_3D")
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
    for weight in layer.weights:
        variable = weight.name.rsplit("/", 1)[-1].split(":")[0]
        if variable in ("kernel", "depthwise_kernel", "embeddings"):
            return weight
    raise ValueError(f"layer {layer.name!r} has no kernel")


def kernels(path: str) -> list[Kernel]:
    """Reads the kernels of a TFLite file.

    An operator is told by its layer from the name of the tensor that it writes, where the converter
    keeps the names of all operations that it fused: `cnn/relu/Relu;cnn/bn/…;cnn/conv/Conv2D`.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    operator_names = {
        value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)
    }
    model = flatbuffer_utils.read_model(path)
    found = []
    for graph in model.subgraphs:
        written_by = {output: operator for operator in graph.operators for output in operator.outputs}
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            name = operator_names[max(code.builtinCode, code.deprecatedBuiltinCode)]
            if name not in _KERNEL_OPERATORS:
                continue
            index = operator.inputs[1]
            if not _is_constant(model, graph.tensors[index]) and index in written_by:
                index = written_by[index].inputs[0]  # a float16 kernel goes through DEQUANTIZE
            tensor = graph.tensors[index]
            if not _is_constant(model, tensor):
                continue
            found.append(_kernel(schema, model, name, tensor, graph.tensors[operator.outputs[0]]))
    return found


def _is_constant(model: Any, tensor: Any) -> bool:
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def _kernel(schema: Any, model: Any, operator: str, tensor: Any, output: Any) -> Kernel:
    dtypes = {
        schema.TensorType.FLOAT32: np.float32,
        schema.TensorType.FLOAT16: np.float16,
        schema.TensorType.INT8: np.int8,
        schema.TensorType.UINT8: np.uint8,
    }
    raw = np.asarray(model.buffers[tensor.buffer].data, np.uint8).tobytes()
    values = np.frombuffer(raw, dtypes[tensor.type]).reshape(tensor.shape)
    quantization = tensor.quantization
    zero_point = getattr(quantization, "zeroPoint", None)
    names = {
        plain_name(part) for operation in output.name.decode().split(";") for part in operation.split("/")
    }
    return Kernel(
        operator=operator,
        layers=frozenset(names),
        values=values,
        zero_point=np.zeros(1, np.int64) if zero_point is None else np.asarray(zero_point),
        channel_axis=getattr(quantization, "quantizedDimension", 0) or 0,
    )
