"""Putting layers of one model into another, so that no model is inside a model."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from components.common.base.errors import ParedownError


class GraftingError(ParedownError):
    """A model has no graph of layers that could be put into another one."""


def graft(trunk: tf_keras.Model, inputs: Any) -> Any:
    """Applies a model to tensors layer by layer; the layers are copies that have its weights.

    Calling the model itself would make it one layer of the other, a model inside the model, which TFMOT
    neither prunes nor quantizes.

    Args:
        trunk: Functional or Sequential; models inside it are taken apart, too. Not changed.
        inputs: Symbolic tensors in the order and of the shapes of `trunk.inputs`; a single one as it is.

    Returns:
        The output tensors, as `trunk.outputs`; a single one as it is.

    Raises:
        GraftingError: If the model is subclassed.
    """
    copies: dict[int, tf_keras.layers.Layer] = {}
    outputs = _apply(trunk, tf.nest.flatten(inputs), copies)
    return outputs[0] if len(outputs) == 1 else outputs


def flatten(model: tf_keras.Model) -> tf_keras.Model:
    """A model whose layers are copies of another's, and none of them is a model.

    Args:
        model: Functional or Sequential; not changed.

    Raises:
        GraftingError: If it, or a model inside it, is subclassed.
    """
    inputs = [
        tf_keras.layers.Input(tensor.shape[1:], dtype=tensor.dtype, name=name)
        for name, tensor in zip(model.input_names, model.inputs, strict=True)
    ]
    return tf_keras.Model(inputs, graft(model, inputs), name=model.name)


def is_nested(model: tf_keras.Model) -> bool:
    """Whether one of a model's layers is a model."""
    return any(isinstance(layer, tf_keras.Model) for layer in model.layers)


def _apply(model: tf_keras.Model, tensors: list[Any], copies: dict[int, Any]) -> list[Any]:
    if not getattr(model, "_is_graph_network", False):
        raise GraftingError(
            f"{model.name} is a subclassed model, whose layers have no order that could be seen; build it with "
            "the functional API or Sequential"
        )
    known = {id(own): tensor for own, tensor in zip(model.inputs, tensors, strict=True)}
    nodes = [node for _, level in sorted(model._nodes_by_depth.items(), reverse=True) for node in level]
    for node in nodes:
        if node.is_input:
            continue
        args, kwargs = tf.nest.map_structure(
            lambda value: known.get(id(value), value), (node.call_args, node.call_kwargs)
        )
        if isinstance(node.layer, tf_keras.Model):
            found = _apply(node.layer, _in_order(node.layer, args), copies)
        else:
            found = tf.nest.flatten(_copy_of(node.layer, copies, args, kwargs))
        known.update((id(own), new) for own, new in zip(tf.nest.flatten(node.outputs), found, strict=True))
    return [known[id(tensor)] for tensor in model.outputs]


def _in_order(model: tf_keras.Model, args: Any) -> list[Any]:
    """What a model was called with, in the order of its inputs."""
    given = args[0] if len(args) == 1 else args
    return (
        [given[name] for name in model.input_names] if isinstance(given, dict) else tf.nest.flatten(given)
    )


def _copy_of(layer: tf_keras.layers.Layer, copies: dict[int, Any], args: Any, kwargs: Any) -> Any:
    """Calls the copy of a layer, the same one for each time that the layer is used."""
    first = id(layer) not in copies
    if first:
        copies[id(layer)] = type(layer).from_config(layer.get_config())
    outputs = copies[id(layer)](*args, **kwargs)
    if first:
        copies[id(layer)].set_weights(layer.get_weights())
    return outputs
