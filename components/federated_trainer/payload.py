"""The weights of a model that travel between server and clients, as one vector."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import tf_keras

from components.common.models import layer_weights
from components.common.models.invariants import Asked
from components.common.training.error import TrainingError
from components.federated_trainer.aggregation import Vector
from components.federated_trainer.free_values import FreeValues

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

    def __init__(self, model: tf_keras.Model, rule: Rule | None, keep: Asked | None = None):
        """Finds them.

        Args:
            model: Whose.
            rule: What becomes of BatchNormalization.
            keep: Layer → what its kernel keeps; of such a kernel, only the values that it leaves free are sent.

        Raises:
            TrainingError: If the model has BatchNormalization without a rule.
        """
        refuse_without_rule(model, rule)
        norms = batch_norms(model)
        kept = [variable for norm in norms for variable in norm.weights] if rule == "local" else []
        # TFMOT's wrappers list frozen kernels as trainable.
        kept_or_frozen = [*kept, *_frozen(model)]
        trained = [v for v in model.trainable_variables if not _holds(kept_or_frozen, v)]
        statistics = [v for norm in norms for v in (norm.moving_mean, norm.moving_variance)]
        self._sent = trained + [v for v in statistics if not _holds(kept, v)]
        self._kept = kept
        self._variances = [norm.moving_variance for norm in norms]
        self._free = _free_values(self._sent, model, keep or {})
        self.sizes = [
            int(np.prod(variable.shape)) if free is None else free.count
            for variable, free in zip(self._sent, self._free, strict=True)
        ]
        self.trained = sum(self.sizes[: len(trained)])

    @property
    def size(self) -> int:
        """Number of values that are sent."""
        return sum(self.sizes)

    @property
    def structure_bytes(self) -> int:
        """Bytes that tell a client, once, which weights are zero for good and which share a value."""
        return sum(free.bytes for free in self._free if free is not None)

    @property
    def has_kept(self) -> bool:
        """Whether clients keep some values."""
        return bool(self._kept)

    def read(self) -> Vector:
        """The values that are sent."""
        return _vector(self._sent, self._free)

    def write(self, values: Vector) -> None:
        """Gives the model these values; a variance is not below 0, which rounding may make it."""
        _assign(self._sent, values, self._variances, self._free)

    def read_kept(self) -> Vector:
        """The values that a client keeps."""
        return _vector(self._kept, [None] * len(self._kept))

    def write_kept(self, values: Vector) -> None:
        """Gives the model values that a client keeps."""
        _assign(self._kept, values, self._variances, [None] * len(self._kept))


def _frozen(model: tf_keras.Model) -> list[Any]:
    layers = model._flatten_layers(include_self=False)
    return [weight for layer in layers if not layer.trainable for weight in layer.weights]


def _free_values(variables: Iterable[Any], model: tf_keras.Model, keep: Asked) -> list[FreeValues | None]:
    """Of each variable, its free values; None if all are free."""
    kernels = [
        (layer_weights.kernel_of(layer), keep[name])
        for layer in model.layers
        if (name := layer_weights.inner_layer(layer).name) in keep
    ]
    asked = ([asked for kernel, asked in kernels if kernel is variable] for variable in variables)
    return [
        FreeValues.within(variable.numpy(), found[0]) if found else None
        for variable, found in zip(variables, asked, strict=True)
    ]


def _vector(variables: Sequence[Any], free: Sequence[FreeValues | None]) -> Vector:
    if not variables:
        return np.empty(0, np.float32)
    return np.concatenate(
        [
            variable.numpy().astype(np.float32).ravel() if own is None else own.read(variable.numpy())
            for variable, own in zip(variables, free, strict=True)
        ]
    )


def _assign(
    variables: Iterable[Any], values: Vector, variances: Sequence[Any], free: Sequence[FreeValues | None]
) -> None:
    start = 0
    for variable, own in zip(variables, free, strict=True):
        size = int(np.prod(variable.shape)) if own is None else own.count
        part = values[start : start + size]
        part = part.reshape(variable.shape) if own is None else own.spread(part)
        variable.assign(np.maximum(part, 0) if _holds(variances, variable) else part)
        start += size


def _holds(variables: Iterable[Any], variable: Any) -> bool:
    """Whether a variable is one of these; `in` would compare their values."""
    return any(one is variable for one in variables)
