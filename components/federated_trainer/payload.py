"""The weights of a model that travel between server and clients, as one vector."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import tf_keras

from components.common.models import layer_weights
from components.common.training.error import TrainingError
from components.federated_trainer.aggregation import Vector

Rule = Literal["average", "local"]


def batch_norms(model: tf_keras.Model) -> list[Any]:
    """The layers of a model whose statistics training changes: BatchNormalization that is not frozen."""
    kind = tf_keras.layers.BatchNormalization
    found = (layer_weights.inner_layer(layer) for layer in model._flatten_layers(include_self=False))
    return [layer for layer in dict.fromkeys(found) if isinstance(layer, kind) and layer.trainable]


def refuse_without_rule(model: tf_keras.Model, rule: Rule | None) -> None:
    """Raises a TrainingError if a model has BatchNormalization, and options do not say what becomes of it."""
    named = batch_norms(model)
    if named and rule is None:
        raise TrainingError(
            f"federated: the model has BatchNormalization ({named[0].name}), whose statistics differ from client to "
            "client; write batch_norm: average, or batch_norm: local"
        )


class Payload:
    """The variables of a model that are sent, and those of BatchNormalization that each client keeps.

    Attributes:
        trained: Length of the part of the vector that training changes by gradients.
        sizes: Number of values of each tensor.
    """

    def __init__(self, model: tf_keras.Model, rule: Rule | None):
        """Finds them.

        Raises:
            TrainingError: If the model has BatchNormalization without a rule.
        """
        refuse_without_rule(model, rule)
        norms = batch_norms(model)
        kept = [variable for norm in norms for variable in norm.weights] if rule == "local" else []
        trained = [v for v in model.trainable_variables if not _holds(kept, v)]
        statistics = [v for norm in norms for v in (norm.moving_mean, norm.moving_variance)]
        self._sent = trained + [v for v in statistics if not _holds(kept, v)]
        self._kept = kept
        self._variances = [norm.moving_variance for norm in norms]
        self.sizes = [int(np.prod(variable.shape)) for variable in self._sent]
        self.trained = sum(self.sizes[: len(trained)])

    @property
    def size(self) -> int:
        """Number of values that are sent."""
        return sum(self.sizes)

    @property
    def has_kept(self) -> bool:
        """Whether clients keep some values."""
        return bool(self._kept)

    def read(self) -> Vector:
        """The values that are sent."""
        return _vector(self._sent)

    def write(self, values: Vector) -> None:
        """Gives the model these values; a variance is not below 0, which rounding may make it."""
        _assign(self._sent, values, self._variances)

    def read_kept(self) -> Vector:
        """The values that a client keeps."""
        return _vector(self._kept)

    def write_kept(self, values: Vector) -> None:
        """Gives the model values that a client keeps."""
        _assign(self._kept, values, self._variances)


def _vector(variables: Sequence[Any]) -> Vector:
    if not variables:
        return np.empty(0, np.float32)
    return np.concatenate([variable.numpy().astype(np.float32).ravel() for variable in variables])


def _assign(variables: Iterable[Any], values: Vector, variances: Sequence[Any]) -> None:
    start = 0
    for variable in variables:
        size = int(np.prod(variable.shape))
        part = values[start : start + size].reshape(variable.shape)
        variable.assign(np.maximum(part, 0) if _holds(variances, variable) else part)
        start += size


def _holds(variables: Iterable[Any], variable: Any) -> bool:
    """Whether a variable is one of these; `in` would compare their values."""
    return any(one is variable for one in variables)
