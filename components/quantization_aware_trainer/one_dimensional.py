"""Convolutions and poolings of one dimension as those of two, of which TFMOT knows the fake quantization.

LiteRT has no kernels of one dimension: the converter writes Conv1D as a convolution of height and width 1 between two
reshapes, too, so that the file has the same operators.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tf_keras

_layers = tf_keras.layers
_SHARED = ("trainable", "dtype")
_OF_KERNELS = (
    "kernel_regularizer",
    "kernel_constraint",
    "bias_regularizer",
    "bias_constraint",
    "activation",
)


@dataclass(frozen=True)
class _Kind:
    """How a layer of one dimension becomes one of two.

    Attributes:
        made: The layer of two dimensions, of the name and the config of the one of one.
        weights: Its weights of those of the other.
    """

    made: Callable[[dict[str, Any]], tf_keras.layers.Layer]
    weights: Callable[[list[Any]], list[Any]]


def _convolution(options: dict[str, Any]) -> tf_keras.layers.Layer:
    return _layers.Conv2D(
        options["filters"],
        (*options["kernel_size"], 1),
        strides=(*options["strides"], 1),
        padding="valid" if options["padding"] == "causal" else options["padding"],
        dilation_rate=(*options["dilation_rate"], 1),
        groups=options["groups"],
        activation=options["activation"],
        use_bias=options["use_bias"],
        name=options["name"],
    )


def _pooling(options: dict[str, Any]) -> tf_keras.layers.Layer:
    size, strides = (options[key] for key in ("pool_size", "strides"))
    return _layers.MaxPooling2D(
        (_only(size), 1), strides=(_only(strides), 1), padding=options["padding"], name=options["name"]
    )


def _only(value: Any) -> int:
    return int(np.ravel(value)[0])


_KINDS = {
    _layers.Conv1D: _Kind(_convolution, lambda weights: [weights[0][:, np.newaxis], *weights[1:]]),
    _layers.MaxPooling1D: _Kind(_pooling, lambda weights: weights),
}


def expand(model: tf_keras.Model, custom_objects: Mapping[str, Any] | None = None) -> tf_keras.Model:
    """A copy of a model whose Conv1D and MaxPooling1D layers are Conv2D and MaxPooling2D, between two reshapes.

    The layer keeps its name, under which its zeros and clusters are known; the reshapes add `_2d` and `_1d` to it, and
    the padding of a causal convolution `_padding`. Outputs are the same.

    Args:
        model: Functional or Sequential; not changed. Returned itself if it has no such layer. A layer that the model
            returns stays as it is, as an output has the name of its layer.
        custom_objects: The user's layers and functions, by name.
    """
    outputs = {tensor.node.layer.name for tensor in model.outputs}
    expanded = {
        layer.name: layer for layer in model.layers if _can_expand(layer) and layer.name not in outputs
    }
    if not expanded:
        return model
    config = model.get_config()
    entries: list[dict[str, Any]] = []
    for entry in config["layers"]:
        name = entry["config"]["name"]
        # The last part of what reads an expanded layer.
        entry = {**entry, **_renamed({k: v for k, v in entry.items() if k == "inbound_nodes"}, expanded)}
        entries += _parts(entry, expanded[name]) if name in expanded else [entry]
    config["layers"] = entries
    with tf_keras.utils.custom_object_scope(dict(custom_objects or {})):
        made = type(model).from_config(config)
    for layer in model.layers:
        weights = layer.get_weights()
        if layer.name in expanded:
            weights = _KINDS[type(layer)].weights(weights)
        made.get_layer(layer.name).set_weights(weights)
    return made


def _can_expand(layer: tf_keras.layers.Layer) -> bool:
    return (
        type(layer) in _KINDS
        and len(layer.inbound_nodes) == 1
        and layer.data_format == "channels_last"
        and None not in (*layer.input_shape[1:], *layer.output_shape[1:])
    )


def _renamed(value: Any, expanded: Mapping[str, Any]) -> Any:
    """References to expanded layers, [name, node, tensor, …], as ones to their last parts."""
    if isinstance(value, dict):
        return {key: _renamed(one, expanded) for key, one in value.items()}
    if not isinstance(value, list | tuple):
        return value
    items = [_renamed(one, expanded) for one in value]
    if len(items) >= 3 and items[0] in expanded and all(isinstance(one, int) for one in items[1:3]):
        items[0] = f"{items[0]}_1d"
    return items


def _parts(entry: dict[str, Any], layer: tf_keras.layers.Layer) -> list[dict[str, Any]]:
    """The layers that an expanded one becomes, as entries of a model's config."""
    options, name = entry["config"], layer.name
    steps, channels = layer.input_shape[1:]
    before: list[tf_keras.layers.Layer] = [_layers.Reshape((steps, 1, channels), name=f"{name}_2d")]
    if options["padding"] == "causal":
        left = options["dilation_rate"][0] * (options["kernel_size"][0] - 1)
        before.append(_layers.ZeroPadding2D(((left, 0), (0, 0)), name=f"{name}_padding"))
    after = _layers.Reshape(layer.output_shape[1:], name=f"{name}_1d")
    made = [*before, _KINDS[type(layer)].made(options), after]
    parts = []
    for index, part in enumerate(made):
        shared = {key: options[key] for key in _SHARED if key in options}
        one = copy.deepcopy(entry)
        one["class_name"], one["config"] = type(part).__name__, {**part.get_config(), **shared}
        if part.name == name:  # what is said of the kernel stays
            one["config"].update(
                {key: options[key] for key in _OF_KERNELS if key in one["config"] and key in options}
            )
        one.pop("build_config", None)
        if "name" in one:
            one["name"] = part.name
        if index == 0:
            if "batch_input_shape" in options:
                one["config"]["batch_input_shape"] = options["batch_input_shape"]
        elif "inbound_nodes" in one:
            one["inbound_nodes"] = [[[made[index - 1].name, 0, 0, {}]]]
        parts.append(one)
    return parts
