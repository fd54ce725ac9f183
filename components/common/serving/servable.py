"""A version of a model that is loaded: what it takes and returns, and its predictions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.common.base.errors import ParedownError
from components.common.serving.request_error import invalid

Values = dict[str, npt.NDArray[Any]]


class ServableError(ParedownError):
    """A version folder cannot be served; the message says why."""


@dataclass(frozen=True)
class Port:
    """An input or output of a signature.

    Attributes:
        dtype: Dtype of its values; object for strings, which are bytes.
        shape: Length of each axis, the batch's first; None if it is free.
        tensor: Name of the tensor in the graph; empty if it has none.
    """

    dtype: np.dtype[Any]
    shape: tuple[int | None, ...] | None
    tensor: str = ""

    def refuse_misfit(self, name: str, values: npt.NDArray[Any]) -> None:
        """Raises a RequestError if values do not have its shape, the batch's axis included."""
        if self.shape is None:
            return
        same_rank = len(self.shape) == values.ndim
        if not same_rank or any(
            size not in (None, given) for size, given in zip(self.shape[1:], values.shape[1:], strict=True)
        ):
            expected = ["batch" if not axis else size for axis, size in enumerate(self.shape)]
            raise invalid(
                f"input {name!r} has shape {list(values.shape)}, expected "
                f"[{', '.join('any' if size is None else str(size) for size in expected)}]"
            )


@dataclass(frozen=True)
class Signature:
    """A function of a model.

    Attributes:
        inputs: Name → what it takes.
        outputs: Name → what it returns.
        method: As TensorFlow Serving names it: `tensorflow/serving/predict`.
    """

    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]
    method: str = "tensorflow/serving/predict"

    def rows(self, features: Values) -> int:
        """Number of examples of a request.

        Raises:
            RequestError: If an input is missing, unknown or of another shape, or inputs differ in their examples.
        """
        unknown = sorted(set(features) - set(self.inputs))
        missing = sorted(set(self.inputs) - set(features))
        if unknown or missing:
            found = [f"unknown: {', '.join(unknown)}"] if unknown else []
            found += [f"missing: {', '.join(missing)}"] if missing else []
            raise invalid(f"inputs are {', '.join(sorted(self.inputs))} ({'; '.join(found)})")
        for name, port in self.inputs.items():
            port.refuse_misfit(name, features[name])
        counts = {len(values) if values.ndim else 1 for values in features.values()}
        if len(counts) > 1:
            raise invalid(f"inputs differ in their number of examples: {sorted(counts)}")
        (count,) = counts
        if not count:
            raise invalid("the request has no examples")
        return count


class Servable(ABC):
    """A loaded version.

    Attributes:
        signatures: Name → signature.
        runtime: What predicts, for people.
    """

    signatures: Mapping[str, Signature]
    runtime: str

    def signature(self, name: str) -> Signature:
        """The signature of that name.

        Raises:
            RequestError: If there is none.
        """
        if name not in self.signatures:
            raise invalid(
                f"there is no signature {name!r}; the model has {', '.join(sorted(self.signatures))}"
            )
        return self.signatures[name]

    @abstractmethod
    def predict(self, signature: str, requests: Sequence[Values]) -> list[Values | Exception]:
        """Predicts the requests of a batch; called in several threads at once.

        Args:
            signature: Name of the signature.
            requests: Input → (examples, …) values, which fit the signature.

        Returns:
            For each request: output → (examples, …) values, or why it failed.
        """
