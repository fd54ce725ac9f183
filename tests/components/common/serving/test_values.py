"""Values of tensors in messages and in JSON."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from components.common.serving import json_values, tensor_values
from components.common.serving.request_error import RequestError
from components.common.serving.servable import Port
from components.common.serving.stubs import tensor_pb2

TYPES = [
    "float32",
    "float64",
    "float16",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "bool",
]


def port(dtype: Any) -> Port:
    return Port(np.dtype(dtype), None)


@pytest.mark.parametrize("name", TYPES)
def test_tensors_of_every_type_are_read_as_tensorflow_writes_them(name: str) -> None:
    import tensorflow as tf

    values = np.array([[0, 1, 1], [3, 4, 100]]).astype(name)
    made = tensor_pb2.TensorProto()
    tensor_values.fill(made, values)
    assert np.array_equal(tf.make_ndarray(made), values)
    assert np.array_equal(tensor_values.to_array("x", tf.make_tensor_proto(values), port(name)), values)
    # In the field of its type, where the last value may stand for more.
    for shape, some in ((None, values.ravel()[:2]), ([4], values.ravel()[:1])):
        listed = tf.make_tensor_proto(some.tolist(), name, shape)
        assert np.array_equal(tensor_values.to_array("x", listed, port(name)), tf.make_ndarray(listed))


def test_text_in_messages_is_bytes() -> None:
    import tensorflow as tf

    proto = tf.make_tensor_proto([[b"a", b"\xff"]])
    values = tensor_values.to_array("x", proto, port(object))
    assert values.tolist() == [[b"a", b"\xff"]]
    made = tensor_pb2.TensorProto()
    tensor_values.fill(made, values)
    assert tf.make_ndarray(made).tolist() == [[b"a", b"\xff"]]


def test_messages_that_do_not_hold_what_they_say() -> None:
    for change, text in (
        ({"unknown_rank": True}, "open shape"),
        ({"sizes": [-1]}, "open shape"),
        ({"sizes": [3]}, "8 bytes for shape"),
        ({"content": b""}, "0 values for 2 elements"),
        ({"content": b"", "values": [1.0, 2.0, 3.0]}, "3 values for 2 elements"),
    ):
        proto = tensor_pb2.TensorProto(dtype=1)
        for size in change.get("sizes", [2]):  # type: ignore[attr-defined]
            proto.tensor_shape.dim.add().size = size
        proto.tensor_shape.unknown_rank = bool(change.get("unknown_rank"))
        proto.tensor_content = change.get("content", b"12345678")
        proto.float_val.extend(change.get("values", []))  # type: ignore[arg-type]
        with pytest.raises(RequestError, match=text):
            tensor_values.to_array("x", proto, port("float32"))


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        ([1.5], "int32", "takes whole numbers"),
        ([300], "uint8", "uint8 cannot hold"),
        ([-1], "uint64", "uint64 cannot hold"),
        ([2**70], "int64", "takes whole numbers"),
        ([True], "float32", "takes numbers"),
        ([1], "bool", "takes true or false"),
        ([1], object, "takes text"),
        ([["a"], ["b", "c"]], object, "different lengths"),
        ([{"b64": "!"}], object, "not base64"),
    ],
)
def test_json_that_an_input_does_not_take(value: Any, dtype: Any, text: str) -> None:
    with pytest.raises(RequestError, match=text):
        json_values.to_array("x", value, port(dtype))


def test_json_that_an_input_takes() -> None:
    assert json_values.to_array("x", [[1, 2]], port("float32")).dtype == np.float32
    assert np.isnan(json_values.to_array("x", json_values.parse(b'{"x": [NaN]}')["x"], port("float32"))[0])
    coded = base64.b64encode(b"\xff").decode()
    assert json_values.to_array("x", ["ä", {"b64": coded}], port(object)).tolist() == [
        "ä".encode(),
        b"\xff",
    ]
    texts = np.array([b"a", b"\xff"], object)
    assert json_values.from_array("x", texts) == ["a", {"b64": coded}]
    assert json_values.from_array("x_bytes", texts)[0] == {"b64": "YQ=="}
