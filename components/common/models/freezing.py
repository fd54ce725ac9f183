"""Layers that training leaves as they are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import tf_keras

from components.common.base.layer_names import matches, plain_name
from components.common.models.layer_weights import inner_layer
from components.common.models.update_rates import UpdateRates

# Quantization-aware training splits a separable convolution: its first half has this behind the name.
_FIRST_HALF = "_depthwise"


class FreezingError(Exception):
    """Patterns freeze no layer, or leave none to train; the message names them."""


class Frozen:
    """Some layers of a model, frozen until they are thawed.

    A frozen layer's weights do not change, and its BatchNormalization normalizes by its moving statistics,
    which do not change either: https://keras.io/guides/transfer_learning. Patterns are as those of file names.
    Compile the model after each change: Keras trains by what `trainable` was then.
    """

    def __init__(self, model: tf_keras.Model):
        self._model = model
        self._before: dict[str, list[tuple[Any, bool]]] = {}

    def freeze(self, layers: Iterable[str]) -> None:
        """Freezes layers by their names in the model; those that do not train are left out."""
        for name in layers:
            layer = self._model.get_layer(name)
            if name not in self._before and layer.trainable and layer.weights:
                parts = list(layer._flatten_layers())
                self._before[name] = [(part, part.trainable) for part in parts]
                layer.trainable = False

    def thaw(self, layers: Iterable[str]) -> None:
        """Puts layers back to what they were before."""
        for name in layers:
            # From the outside in, as setting a layer sets those inside of it, too.
            for part, trainable in self._before.pop(name, []):
                part.trainable = trainable

    def thaw_all(self) -> None:
        """Puts all layers back: what is saved with a model is not what one training froze."""
        self.thaw(list(self._before))

    def names(self) -> list[str]:
        """Names of the layers that are frozen."""
        return list(self._before)

    def hold(self) -> UpdateRates:
        """A callback that keeps optimizers away from them: TFMOT's wrappers list frozen kernels as trainable."""
        return UpdateRates(
            (weight, 0.0) for name in self._before for weight in self._model.get_layer(name).weights
        )


def layers_matching(model: tf_keras.Model, patterns: Sequence[str]) -> list[str]:
    """Names in a model, wrapped or not, of the layers with weights whose plain names fit patterns.

    Raises:
        FreezingError: If a pattern fits no layer, or nothing with weights is left.
    """
    if not patterns:
        return []
    plain = {layer.name: plain_name(inner_layer(layer).name) for layer in model.layers}
    able = {
        layer.name: _known_as(plain[layer.name], set(plain.values()))
        for layer in model.layers
        if layer.weights
    }
    for pattern in patterns:
        refuse_unmatched(pattern, [name for names in able.values() for name in names])
    found = [own for own, names in able.items() if any(matches(name, patterns) for name in names)]
    if len(found) == len(able):
        raise FreezingError(f"freeze {list(patterns)} leaves no layer to train; name fewer layers")
    return found


def refuse_unmatched(pattern: str, names: Collection[str]) -> None:
    """Raises a FreezingError if a pattern matches no name."""
    if not any(matches(name, [pattern]) for name in names):
        known = ", ".join(dict.fromkeys(names))
        raise FreezingError(f"pattern {pattern!r} matches no layer with weights; those are {known}")


def _known_as(name: str, others: Collection[str]) -> list[str]:
    """A layer's plain name, and what it was called before it was split."""
    whole = name.removesuffix(_FIRST_HALF)
    return [name, whole] if whole != name and whole in others else [name]
