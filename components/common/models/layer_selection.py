"""Choosing layers of a model by patterns of their names."""

from __future__ import annotations

from collections.abc import Callable

import tf_keras

from components.common.base.errors import ParedownError
from components.common.base.layer_names import matches
from components.common.models import layer_weights


class LayerSelectionError(ParedownError):
    """The patterns of layers select nothing that a step can work on."""


def is_nested(layer: tf_keras.layers.Layer) -> bool:
    """Whether a layer is a model itself, with kernels inside."""
    return isinstance(layer, tf_keras.Model) and layer_weights.has_kernel(layer)


def select(
    model: tf_keras.Model,
    include: list[str],
    exclude: list[str],
    possible: Callable[[tf_keras.layers.Layer], bool],
    done: str,
    otherwise: str,
) -> list[str]:
    """Names of the layers that a step is to work on.

    Args:
        model: Whose layers to choose among.
        include: Patterns of layers to take.
        exclude: Patterns of layers to leave alone; they win over `include`.
        possible: Whether a layer that is not a model itself can be worked on.
        done: What is done to layers, for messages: "pruned".
        otherwise: What those are that are left out, for messages: "dense".

    Raises:
        LayerSelectionError: If a pattern matches no layer that can be worked on, or a model inside
            the model is selected.
    """
    nested = [layer.name for layer in model.layers if is_nested(layer)]
    able = [layer.name for layer in model.layers if not is_nested(layer) and possible(layer)]
    for pattern in [*include, *exclude]:
        if not any(matches(name, [pattern]) for name in able + nested):
            raise LayerSelectionError(
                f"pattern {pattern!r} matches no layer that can be {done}; those are {able}"
            )
    names = [name for name in able + nested if matches(name, include) and not matches(name, exclude)]
    for name in names:
        if name in nested:
            raise LayerSelectionError(
                f"{name} is a model inside the model, whose layers cannot be {done} one by one: put its "
                f"layers into the model itself, or leave it {otherwise} with exclude: [{name}]"
            )
    if not names:
        raise LayerSelectionError(f"include {include} and exclude {exclude} leave no layer to be {done}")
    return names
