"""Multiplying BatchNormalization into the layer before it.

The TFLite converter does so for every convolution and dense layer. What has to hold in the deployed file
of a kernel's very values has to be done after it: 16 values become 16 for each channel otherwise.
Jacob et al. (2018), section 3.2, https://arxiv.org/abs/1712.05877.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tf_keras

from components.common.models import layer_weights

_layers = tf_keras.layers
# Kernel's axis of output channels, by exact class: a subclass may compute something else.
_CHANNEL_AXIS = {
    _layers.Conv1D: -1,
    _layers.Conv2D: -1,
    _layers.Conv3D: -1,
    _layers.Dense: -1,
    _layers.SeparableConv1D: -1,
    _layers.SeparableConv2D: -1,
    _layers.Conv2DTranspose: -2,
}


def followers(model: tf_keras.Model) -> dict[str, str]:
    """Layer → the BatchNormalization that can be folded into it.

    It has to be all that reads the layer, whose activation has to be linear.

    Args:
        model: Functional or Sequential; any other has none.
    """
    read_by = readers(model)
    found = {}
    for layer in model.layers:
        after = read_by.get(layer.name, [])
        if len(after) != 1 or layer.name in model.output_names or type(layer) not in _CHANNEL_AXIS:
            continue
        follower = model.get_layer(after[0])
        if (
            type(follower) is _layers.BatchNormalization
            and follower.name not in model.output_names
            and len(layer.inbound_nodes) == len(follower.inbound_nodes) == 1
            and layer.activation is tf_keras.activations.linear
            and list(follower.axis) == [len(layer.output.shape) - 1]
            and getattr(layer, "data_format", "channels_last") == "channels_last"
        ):
            found[layer.name] = follower.name
    return found


def readers(model: tf_keras.Model) -> dict[str, list[str]]:
    """Layer → the layers that read it, by the model's config."""
    if isinstance(model, tf_keras.Sequential):
        names = [layer.name for layer in model.layers]
        return {name: [after] for name, after in itertools.pairwise(names)}
    readers: dict[str, list[str]] = {}
    for entry in _entries(model.get_config()):
        for before in _references(entry.get("inbound_nodes", [])):
            readers.setdefault(before, []).append(entry["config"]["name"])
    return readers


def _entries(config: Any) -> list[dict[str, Any]]:
    return config.get("layers", []) if isinstance(config, dict) else []


def _references(value: Any) -> Iterator[str]:
    """Names of layers that inbound nodes of a config refer to, as [name, node, tensor, arguments]."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        if _is_reference(value):
            yield value[0]
        for item in value:
            yield from _references(item)


def _is_reference(value: Any) -> bool:
    return len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int)


def fold(
    model: tf_keras.Model, layers: Iterable[str], custom_objects: Mapping[str, Any] | None = None
) -> tf_keras.Model:
    """A copy of a model in which the BatchNormalization that follows some layers is part of them.

    Its outputs at inference are the model's. A layer that no BatchNormalization follows stays as it is.

    Args:
        model: Functional or Sequential; not changed.
        layers: Names of the layers.
        custom_objects: The user's layers and functions, by name.
    """
    folded = {name: follower for name, follower in followers(model).items() if name in set(layers)}
    if not folded:
        return model
    before = {follower: name for name, follower in folded.items()}
    config = model.get_config()
    config["layers"] = [entry for entry in config["layers"] if entry["config"]["name"] not in before]
    for entry in config["layers"]:
        if entry["config"]["name"] in folded:
            entry["config"]["use_bias"] = True
        if "inbound_nodes" in entry:
            entry["inbound_nodes"] = _rewired(entry["inbound_nodes"], before)
    with tf_keras.utils.custom_object_scope(dict(custom_objects or {})):
        copy = type(model).from_config(config)
    for layer in copy.layers:
        original = model.get_layer(layer.name)
        if layer.name not in folded:
            layer.set_weights(original.get_weights())
            continue
        factor, shift, mean = _affine(model.get_layer(folded[layer.name]))
        for weight in layer.weights:
            if weight is layer_weights.kernel_of(layer):
                kernel = layer_weights.kernel_of(original).numpy()
                shape = [1] * kernel.ndim
                shape[_CHANNEL_AXIS[type(layer)]] = -1
                weight.assign(kernel * factor.reshape(shape))
            elif weight is layer.bias:
                bias = original.bias.numpy() if original.use_bias else np.zeros_like(mean)
                weight.assign((bias - mean) * factor + shift)
            else:  # the depthwise half of a separable convolution
                position = [w is weight for w in layer.weights].index(True)
                weight.assign(original.weights[position])
    return copy


def _affine(norm: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Factor, shift and mean of a BatchNormalization at inference, each (channels,)."""
    mean, variance = norm.moving_mean.numpy(), norm.moving_variance.numpy()
    gamma = norm.gamma.numpy() if norm.scale else np.ones_like(mean)
    beta = norm.beta.numpy() if norm.center else np.zeros_like(mean)
    return gamma / np.sqrt(variance + norm.epsilon), beta, mean


def _rewired(value: Any, before: Mapping[str, str]) -> Any:
    """Inbound nodes of a config in which each reference to a folded layer is one to what it was folded into."""
    if isinstance(value, list | tuple):
        if _is_reference(value):
            return [before.get(value[0], value[0]), *(_rewired(item, before) for item in value[1:])]
        return [_rewired(item, before) for item in value]
    if isinstance(value, dict):
        return {key: _rewired(item, before) for key, item in value.items()}
    return value


def names(model: tf_keras.Model) -> list[str]:
    """Names of a model's BatchNormalization layers, wrapped or not."""
    kind = tf_keras.layers.BatchNormalization
    return [layer.name for layer in model.layers if isinstance(layer_weights.inner_layer(layer), kind)]
