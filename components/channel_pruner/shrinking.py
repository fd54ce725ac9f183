"""A smaller model: one without some of the channels of another."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tf_keras

from components.channel_pruner.cuts import Alive, Cuts
from components.channel_pruner.graph import ChannelGraph


def smaller_weights(
    model: tf_keras.Model, graph: ChannelGraph, alive: Alive, before: Alive
) -> dict[str, list[npt.NDArray[Any]]]:
    """Layer → its weights without those of channels that are not left.

    Args:
        model: May have lost channels before; not changed.
        graph: Graph of the model when it was whole.
        alive: Unit → whether it is left.
        before: Unit → whether it is in the model.
    """
    found = {}
    for layer in model.layers:
        cuts = graph.cuts.get(layer.name, Cuts())
        found[layer.name] = [
            _taken(weight.numpy(), cuts.axes_of(layer, weight), alive, before) for weight in layer.weights
        ]
    return found


def _taken(
    values: Any, axes: dict[int, npt.NDArray[np.int64]], alive: Alive, before: Alive
) -> npt.NDArray[Any]:
    for axis, channels in axes.items():
        values = np.compress(alive[channels[before[channels]]], values, axis=axis)
    return np.asarray(values)


def build(
    whole: tf_keras.Model,
    graph: ChannelGraph,
    alive: Alive,
    weights: dict[str, list[npt.NDArray[Any]]],
) -> tf_keras.Model:
    """A model without the channels that are not left; layers, inputs and outputs keep their names.

    Args:
        whole: With all channels; not changed.
        graph: Graph of the whole model.
        alive: Unit → whether it is left.
        weights: Layer → its weights, as `smaller_weights` returns them.
    """

    def copied(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        cuts = graph.cuts.get(layer.name, Cuts())
        return type(layer).from_config(cuts.config(layer.get_config(), alive))

    model = tf_keras.models.clone_model(whole, clone_function=copied)
    for layer in model.layers:
        layer.set_weights(weights[layer.name])
    return model


def smaller(model: tf_keras.Model, graph: ChannelGraph, alive: Alive) -> tf_keras.Model:
    """A copy of a model without the channels that are not left.

    Its outputs are those of the model if what reads a channel that is gone read zeros in its place.
    """
    return build(model, graph, alive, smaller_weights(model, graph, alive, graph.all_alive()))
