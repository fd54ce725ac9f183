"""Values of tensors as TensorFlow's TensorProto, without TensorFlow.

https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/framework/tensor.proto
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from components.common.serving.request_error import invalid
from components.common.serving.servable import Port

# NumPy's name of a type → number of tensorflow.DataType, the field of TensorProto that holds its values.
_TYPES: dict[str, tuple[int, str]] = {
    "float32": (1, "float_val"),
    "float64": (2, "double_val"),
    "int32": (3, "int_val"),
    "uint8": (4, "int_val"),
    "int16": (5, "int_val"),
    "int8": (6, "int_val"),
    "object": (7, "string_val"),
    "int64": (9, "int64_val"),
    "bool": (10, "bool_val"),
    "uint16": (17, "int_val"),
    "float16": (19, "half_val"),
    "uint32": (22, "uint32_val"),
    "uint64": (23, "uint64_val"),
}
_NAMES = {number: (name, field) for name, (number, field) in _TYPES.items()}
# Elements of a tensor that a message of any size may ask for: one value can stand for all of them.
_MOST = 2**28


def data_type(dtype: np.dtype[Any]) -> int:
    """Number of a dtype in tensorflow.DataType; 0 if it has none here."""
    return _TYPES.get(dtype.name, (0, ""))[0]


def to_array(name: str, proto: Any, port: Port) -> npt.NDArray[Any]:
    """The values of a TensorProto.

    Args:
        name: Name of the input, for errors.
        proto: The message.
        port: What the input takes.

    Returns:
        Values of the input's dtype.

    Raises:
        RequestError: If its type is not the input's, or its values do not fill its shape.
    """
    found, field = _NAMES.get(proto.dtype, (f"type {proto.dtype}", ""))
    if found != port.dtype.name:
        expected = "string" if port.dtype == object else port.dtype.name
        raise invalid(f"input {name!r} is {'string' if found == 'object' else found}, expected {expected}")
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise invalid(f"input {name!r} has an open shape")
    count = math.prod(shape)
    if count > _MOST:
        raise invalid(f"input {name!r} has {count:,} elements")
    if proto.tensor_content and port.dtype != object:
        if len(proto.tensor_content) != count * port.dtype.itemsize:
            raise invalid(f"input {name!r} has {len(proto.tensor_content):,} bytes for shape {list(shape)}")
        return (
            np.frombuffer(proto.tensor_content, port.dtype.newbyteorder("<"))
            .reshape(shape)
            .astype(port.dtype)
        )
    return _of_field(name, getattr(proto, field), count, port.dtype).reshape(shape)


def _of_field(name: str, values: Any, count: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    given: npt.NDArray[Any]
    if dtype.kind == "O":
        given = np.empty(len(values), object)
        given[:] = list(values)
    elif dtype.name == "float16":  # its bits, as integers
        given = np.array(values, np.uint16).view(np.float16)
    else:
        given = np.array(values, np.int64 if dtype.kind in "iu" and dtype.itemsize < 4 else dtype).astype(
            dtype
        )
    if len(given) > count or (count and not len(given)):
        raise invalid(f"input {name!r} has {len(given):,} values for {count:,} elements")
    # The last value stands for all that are not there.
    return (
        given if len(given) == count else np.concatenate([given, np.repeat(given[-1:], count - len(given))])
    )


def fill(proto: Any, values: npt.NDArray[Any]) -> None:
    """Puts values into an empty TensorProto."""
    proto.dtype = data_type(values.dtype)
    for size in values.shape:
        proto.tensor_shape.dim.add().size = size
    if values.dtype == object:
        proto.string_val.extend(
            value if isinstance(value, bytes) else str(value).encode() for value in values.ravel()
        )
    else:
        proto.tensor_content = np.ascontiguousarray(values).tobytes()
