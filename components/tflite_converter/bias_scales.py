"""Biases that several operators of a quantized file share, though their scales differ.

A recurrent layer that is unrolled, such as a GRU, adds the same bias at each step. The stored integers of a bias are
multiples of the input's scale times the weights' scale, and the input has another scale at each step, but the
converter stores the bias once, by the scale of the first step. The later steps then add a wrong bias, and if it is far
off, LiteRT does not load the file ("scale_diff / output_scale"). Each step gets its own bias here.
https://ai.google.dev/edge/litert/models/quantization_spec
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from components.common.tflite.tflite_file import TFLiteFile

# Operators with a bias → the places of input, weights and bias among what they read.
_PLACES = {
    "FULLY_CONNECTED": (0, 1, 2),
    "CONV_2D": (0, 1, 2),
    "DEPTHWISE_CONV_2D": (0, 1, 2),
    "TRANSPOSE_CONV": (2, 1, 3),
}
_DTYPES: dict[str, np.dtype[Any]] = {"int32": np.dtype("<i4"), "int64": np.dtype("<i8")}
# Relative difference of scales that is more than the rounding of float32.
_ROUNDING = 1e-5


def separate(content: bytes, file: TFLiteFile) -> bytes:
    """The same file, each bias by the scale of the operator that adds it.

    Args:
        content: The file.
        file: The same, parsed.
    """
    if not any(_wanted(operator) is not None for operator in file.operators):
        return content
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    operators = iter(file.operators)
    for graph in model.subgraphs:
        for stored in graph.operators or []:
            operator = next(operators)
            scales = _wanted(operator)
            if scales is not None:
                _replace(model, graph, stored, _PLACES[operator.name][2], scales)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _wanted(operator: Any) -> npt.NDArray[np.float32] | None:
    """The scales that the bias of an operator has to have; None if it has them, or if it has no quantized bias."""
    places = _PLACES.get(operator.name)
    if places is None or len(operator.inputs) <= places[2]:
        return None
    given, weights, bias = (operator.inputs[place] for place in places)
    if given is None or weights is None or bias is None or bias.dtype not in _DTYPES or not bias.constant:
        return None
    if not (given.scales.size and weights.scales.size and bias.scales.size):
        return None
    scales = np.asarray(given.scales[0] * weights.scales, np.float32)
    if scales.size != bias.scales.size or np.allclose(scales, bias.scales, rtol=_ROUNDING, atol=0):
        return None
    return scales


def _replace(model: Any, graph: Any, stored: Any, place: int, scales: npt.NDArray[np.float32]) -> None:
    """Gives an operator a separate bias."""
    shared = graph.tensors[stored.inputs[place]]
    dtype = next(
        d for name, d in _DTYPES.items() if getattr(schema.TensorType, name.upper()) == shared.type
    )
    values = np.frombuffer(bytes(model.buffers[shared.buffer].data), dtype)
    real = values * np.asarray(shared.quantization.scale, np.float64)
    bounds = np.iinfo(dtype)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(
        np.clip(np.round(real / scales), bounds.min, bounds.max).astype(dtype).tobytes(), np.uint8
    )
    own = copy.deepcopy(shared)
    own.buffer = len(model.buffers)
    own.name = f"{(shared.name or b'').decode()}_{len(graph.tensors)}".encode()
    own.quantization.scale = scales
    model.buffers.append(buffer)
    inputs = list(stored.inputs)
    inputs[place] = len(graph.tensors)
    stored.inputs = np.asarray(inputs, np.int32)
    graph.tensors.append(own)
