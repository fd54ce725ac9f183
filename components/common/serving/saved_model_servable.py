"""A SavedModel on TensorFlow, which is imported when the first one is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.common.base.errors import describe
from components.common.serving.request_error import invalid
from components.common.serving.servable import Port, Servable, ServableError, Signature, Values

FILE = "saved_model.pb"


class SavedModelServable(Servable):
    """A SavedModel. Requests of a batch run as one, if their shapes let them."""

    runtime = "TensorFlow"

    def __init__(self, folder: Path):
        """Loads the folder.

        Args:
            folder: That of saved_model.pb.

        Raises:
            ServableError: If it does not load, or has no signature.
        """
        import tensorflow as tf

        try:
            self._model = tf.saved_model.load(str(folder))
        except Exception as error:  # TensorFlow has no base class of what loading raises
            raise ServableError(f"{folder} does not load on TensorFlow: {describe(error)}") from error
        # tf.saved_model's own signatures for initialization are not for clients.
        self._functions: dict[str, Callable[..., Mapping[str, Any]]] = {
            name: function for name, function in self._model.signatures.items() if not name.startswith("__")
        }
        if not self._functions:
            raise ServableError(f"{folder} has no signature; save the model with signatures")
        self._constant = tf.constant
        self._invalid = tf.errors.InvalidArgumentError
        self.signatures = {name: _signature(function) for name, function in self._functions.items()}

    def predict(self, signature: str, requests: Sequence[Values]) -> list[Values | Exception]:
        if len(requests) > 1 and _fit_together(requests):
            together = {
                name: np.concatenate([features[name] for features in requests]) for name in requests[0]
            }
            made = self._run(signature, together)
            counts = [_rows(features) for features in requests]
            if not isinstance(made, Exception) and all(
                _rows({"": v}) == sum(counts) for v in made.values()
            ):
                ends = np.cumsum(counts)
                return [
                    {name: values[end - count : end] for name, values in made.items()}
                    for end, count in zip(ends, counts, strict=True)
                ]
        # One by one: the error of one request is not that of the others.
        return [self._run(signature, features) for features in requests]

    def _run(self, signature: str, features: Values) -> Values | Exception:
        ports = self.signatures[signature].inputs
        try:
            given = {
                name: self._constant(values.tolist() if ports[name].dtype == object else values)
                for name, values in features.items()
            }
            return {name: value.numpy() for name, value in self._functions[signature](**given).items()}
        except self._invalid as error:  # such as bytes that are not a tf.Example
            return invalid(f"the model does not take the request: {describe(error)}")
        except Exception as error:  # whatever the graph raises belongs to this request
            return error


def _rows(features: Values) -> int:
    values = next(iter(features.values()))
    return len(values) if values.ndim else 1


def _fit_together(requests: Sequence[Values]) -> bool:
    shapes = [{name: values.shape[1:] for name, values in features.items()} for features in requests]
    scalars = any(values.ndim == 0 for features in requests for values in features.values())
    return not scalars and all(shape == shapes[0] for shape in shapes)


def _signature(function: Any) -> Signature:
    inputs = function.structured_input_signature[1]
    outputs = function.structured_outputs
    return Signature(
        {name: _port(spec) for name, spec in inputs.items()},
        {name: _port(spec) for name, spec in outputs.items()},
    )


def _port(spec: Any) -> Port:
    dtype = np.dtype(object if spec.dtype.name == "string" else spec.dtype.as_numpy_dtype)
    shape = None if spec.shape.rank is None else tuple(spec.shape.as_list())
    return Port(dtype, shape, spec.name or "")
