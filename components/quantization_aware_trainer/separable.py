"""Separable convolutions as the two layers that they are."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import tf_keras

from components.common.base.layer_names import matches

_SHARED = ("trainable", "dtype", "data_format")


def split(
    model: tf_keras.Model,
    exclude: Sequence[str] = (),
    custom_objects: Mapping[str, Any] | None = None,
) -> tf_keras.Model:
    """A copy of a model whose SeparableConv2D layers are a DepthwiseConv2D and a Conv2D of size 1.

    TFMOT does so too, but under names that count what this process has built; here the second keeps the
    name, under which its zeros and clusters are known, and the first adds `_depthwise` to it.

    Args:
        model: Functional or Sequential; not changed. Returned itself if it has no such layer.
        exclude: Patterns of layers that stay as they are.
        custom_objects: The user's layers and functions, by name.
    """
    separable = {
        layer.name
        for layer in model.layers
        if type(layer) is tf_keras.layers.SeparableConv2D
        and len(layer.inbound_nodes) == 1
        and not matches(layer.name, exclude)
    }
    if not separable:
        return model
    config = model.get_config()
    entries = []
    for entry in config["layers"]:
        if entry["config"]["name"] in separable:
            entries += _halves(entry)
        else:
            entries.append(entry)
    config["layers"] = entries
    with tf_keras.utils.custom_object_scope(dict(custom_objects or {})):
        halved = type(model).from_config(config)
    for layer in model.layers:
        weights = layer.get_weights()
        if layer.name in separable:
            halved.get_layer(f"{layer.name}_depthwise").set_weights(weights[:1])
            weights = weights[1:]
        halved.get_layer(layer.name).set_weights(weights)
    return halved


def _halves(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The two layers of a separable convolution, as entries of a model's config."""
    options = entry["config"]
    name = options["name"]
    shared = {key: options[key] for key in _SHARED if key in options}
    depthwise = tf_keras.layers.DepthwiseConv2D(
        options["kernel_size"],
        strides=options["strides"],
        padding=options["padding"],
        depth_multiplier=options["depth_multiplier"],
        dilation_rate=options["dilation_rate"],
        use_bias=False,
        name=f"{name}_depthwise",
    )
    pointwise = tf_keras.layers.Conv2D(options["filters"], 1, use_bias=options["use_bias"], name=name)
    first, second = copy.deepcopy(entry), copy.deepcopy(entry)
    for half, layer in ((first, depthwise), (second, pointwise)):
        half["class_name"] = type(layer).__name__
        half["config"] = {**layer.get_config(), **shared}
        if "name" in half:
            half["name"] = layer.name
        half.pop("build_config", None)
    second["config"]["activation"] = options["activation"]
    if "batch_input_shape" in options:
        first["config"]["batch_input_shape"] = options["batch_input_shape"]
    if "inbound_nodes" in second:
        second["inbound_nodes"] = [[[depthwise.name, 0, 0, {}]]]
    return [first, second]
