"""Values of tensors as JSON, by the rules of TensorFlow Serving's REST API.

https://www.tensorflow.org/tfx/serving/api_rest
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

import numpy as np
import numpy.typing as npt

from components.common.serving.request_error import invalid
from components.common.serving.servable import Port

# Kind of a tensor's dtype → kinds of JSON values that it takes.
_TAKES = {"f": "iuf", "i": "iu", "u": "iu", "b": "b"}
_KINDS = {"f": "numbers", "i": "whole numbers", "u": "whole numbers", "b": "true or false"}


def parse(body: bytes) -> dict[str, Any]:
    """A request's body.

    Raises:
        RequestError: If it is not a JSON object.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid(f"the body is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise invalid("the body has to be a JSON object")
    return found


def dump(answer: Any) -> bytes:
    """JSON of an answer; as TensorFlow Serving's, it has NaN and Infinity."""
    return json.dumps(answer, separators=(",", ":")).encode()


def is_bytes(value: Any) -> bool:
    """Whether a value is `{"b64": text}`, bytes in base64."""
    return isinstance(value, dict) and value.keys() == {"b64"}


def to_array(name: str, value: Any, port: Port) -> npt.NDArray[Any]:
    """A JSON value as the values of an input.

    Raises:
        RequestError: If it holds something else than the input takes, or its lists differ in length.
    """
    if port.dtype == object:
        return _strings(name, value)
    try:
        given = np.array(value)
    except (ValueError, OverflowError):
        given = np.array(None)  # lists of different lengths, or too deep
    kind = port.dtype.kind
    if not given.size:
        return np.zeros(given.shape, port.dtype)
    if given.dtype.kind not in _TAKES[kind]:
        raise invalid(f"input {name!r} takes {_KINDS[kind]} in lists of equal length ({port.dtype.name})")
    with np.errstate(all="ignore"):
        cast = given.astype(port.dtype)
    held = np.isfinite(cast) | ~np.isfinite(given) if kind == "f" else cast == given
    if not held.all():
        raise invalid(f"input {name!r} has values that {port.dtype.name} cannot hold")
    return cast


def from_array(name: str, values: npt.NDArray[Any]) -> Any:
    """Values of an output as JSON; bytes are text, or `{"b64": …}` if they are none or the name ends in `_bytes`."""
    if values.dtype == object:
        return _texts(values.tolist(), name.endswith("_bytes"))
    return values.tolist()


def _strings(name: str, value: Any) -> npt.NDArray[Any]:
    items: list[bytes] = []
    shape = _collect(name, value, items)
    array = np.empty(len(items), object)
    array[:] = items
    return array.reshape(shape)


def _collect(name: str, value: Any, items: list[bytes]) -> tuple[int, ...]:
    if isinstance(value, list):
        shapes = {_collect(name, item, items) for item in value}
        if len(shapes) > 1:
            raise invalid(f"input {name!r} has lists of different lengths")
        return (len(value), *next(iter(shapes), ()))
    if isinstance(value, str):
        items.append(value.encode("utf-8", "surrogatepass"))
    elif is_bytes(value) and isinstance(value["b64"], str):
        try:
            items.append(base64.b64decode(value["b64"], validate=True))
        except (binascii.Error, ValueError):
            raise invalid(f"input {name!r} has a b64 value that is not base64") from None
    else:
        raise invalid(f'input {name!r} takes text, or bytes as {{"b64": …}}')
    return ()


def _texts(value: Any, as_bytes: bool) -> Any:
    if isinstance(value, list):
        return [_texts(item, as_bytes) for item in value]
    content = value if isinstance(value, bytes) else str(value).encode()
    if not as_bytes:
        try:
            return content.decode()
        except UnicodeDecodeError:
            pass
    return {"b64": base64.b64encode(content).decode()}
