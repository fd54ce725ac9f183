"""Putting layers of one model into another, so that no model is inside a model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from components.common.base.errors import ParedownError
from components.common.models import compilation


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
    outputs = _apply(trunk, tf.nest.flatten(inputs), _Copies())
    return outputs[0] if len(outputs) == 1 else outputs


def flattened(model: tf_keras.Model, custom_objects: Mapping[str, Any]) -> tf_keras.Model:
    """A model as every step can change it: itself, or `flatten` of it, compiled as it is, if it holds models.

    A model that cannot be taken apart is returned as it is.

    Args:
        model: As a user's function, or a file, gives it.
        custom_objects: The user's layers and functions, by name.
    """
    ends = any(type(layer).__name__ in ("AddLoss", "AddMetric") for layer in model.layers)
    if ends or not is_nested(model):
        return model
    try:
        with tf_keras.utils.custom_object_scope(dict(custom_objects)):
            flat = flatten(model)
    except GraftingError:
        return model
    if model._is_compiled:
        compilation.compile_like(flat, model)
    return flat


def flatten(model: tf_keras.Model) -> tf_keras.Model:
    """A model whose layers are copies of another's, and none of them is a model.

    Layers, inputs and outputs keep their names; of layers of the same name in several models inside, all but the first
    get that of their model before it: `encoder_conv`.

    Args:
        model: Functional or Sequential; not changed.

    Raises:
        GraftingError: If it, or a model inside it, is subclassed.
    """
    inputs = [
        tf_keras.layers.Input(tensor.shape[1:], dtype=tensor.dtype, name=name)
        for name, tensor in zip(model.input_names, model.inputs, strict=True)
    ]
    copies = _Copies(set(model.input_names))
    outputs = [
        # An output has the name of its layer, which was a model.
        tensor
        if tensor.node.layer.name == name or name in copies.names
        else tf_keras.layers.Activation("linear", name=name, dtype=tensor.dtype)(tensor)
        for name, tensor in zip(model.output_names, _apply(model, inputs, copies), strict=True)
    ]
    return tf_keras.Model(inputs, outputs[0] if len(outputs) == 1 else outputs, name=model.name)


def is_nested(model: tf_keras.Model) -> bool:
    """Whether one of a model's layers is a model."""
    return any(isinstance(layer, tf_keras.Model) for layer in model.layers)


class _Copies:
    """Copies of layers, one for each, and the names that are taken."""

    def __init__(self, names: Collection[str] = ()):
        self.names = set(names)
        self._made: dict[int, tf_keras.layers.Layer] = {}

    def call(self, layer: tf_keras.layers.Layer, within: str, args: Any, kwargs: Any) -> Any:
        """Calls the copy of a layer, the same one for each time that the layer is used."""
        first = id(layer) not in self._made
        if first:
            config = layer.get_config()
            if layer.name in self.names and within:
                config["name"] = f"{within}_{layer.name}"
            self.names.add(config["name"])
            self._made[id(layer)] = type(layer).from_config(config)
        copy = self._made[id(layer)]
        outputs = copy(*args, **kwargs)
        if first:
            copy.set_weights(layer.get_weights())
        return outputs


def _apply(
    model: tf_keras.Model,
    tensors: list[Any],
    copies: _Copies,
    within: str = "",
    training: bool | None = None,
) -> list[Any]:
    if not getattr(model, "_is_graph_network", False):
        raise GraftingError(
            f"{model.name} is a subclassed model, whose order of layers is not known; build it with "
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
        mode = kwargs.get("training", training)
        if isinstance(node.layer, tf_keras.Model):
            found = _apply(node.layer, _in_order(node.layer, args), copies, node.layer.name, mode)
        else:
            # What a model inside is called with holds for its layers: BatchNormalization goes by it.
            if mode is not None and node.layer._expects_training_arg:
                kwargs = {**kwargs, "training": mode}
            found = tf.nest.flatten(copies.call(node.layer, within, args, kwargs))
        known.update((id(own), new) for own, new in zip(tf.nest.flatten(node.outputs), found, strict=True))
    return [known[id(tensor)] for tensor in model.outputs]


def _in_order(model: tf_keras.Model, args: Any) -> list[Any]:
    """The tensors that a model was called with, in the order of its inputs."""
    given = args[0] if len(args) == 1 else args
    return (
        [given[name] for name in model.input_names] if isinstance(given, dict) else tf.nest.flatten(given)
    )
