"""How important channels are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras

from components.channel_pruner.allocation import Scores
from components.channel_pruner.cuts import Alive
from components.channel_pruner.graph import ChannelGraph, makes_channels
from components.common.data.arrays import Arrays

_BATCH = 32


def of_weights(kind: str, model: tf_keras.Model, graph: ChannelGraph, alive: Alive) -> Scores:
    """Unit → its importance by weights, the mean over what its channels are in; those that are gone come last.

    Args:
        kind: l1, l2, fpgm or batch_norm, as in the options of the step. Of the first three, a layer's channels have a
            mean of 1, so that layers can be compared.
        model: With the channels that are left.
        graph: Graph of the model when it was whole.
        alive: Unit → whether it is left.
    """
    scores, shares = np.zeros(graph.size), np.zeros(graph.size)
    for layer in model.layers:
        if kind == "batch_norm" and _scales(layer, graph):
            values = np.abs(layer.gamma.numpy())
        elif kind != "batch_norm" and makes_channels(layer):
            values = _of_filters(kind, _filters(layer, _main_kernel(layer).numpy()))
            values = values / (values.mean() or 1.0)
        else:
            continue
        units = _left(graph, layer, alive)
        np.add.at(scores, units, values)
        np.add.at(shares, units, 1)
    return np.where(alive, scores / np.maximum(shares, 1), -np.inf)


def _of_filters(kind: str, filters: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if kind == "l1":
        return np.asarray(np.abs(filters).sum(axis=1))
    if kind == "l2":
        return np.asarray(np.linalg.norm(filters, axis=1))
    squares = np.square(filters).sum(axis=1)
    distances = squares[:, np.newaxis] + squares - 2 * filters @ filters.T
    return np.asarray(np.sqrt(np.maximum(distances, 0)).sum(axis=1))


def of_loss(model: tf_keras.Model, graph: ChannelGraph, alive: Alive, examples: Arrays) -> Scores:
    """Unit → the squared change of the loss if it goes, to the first order, a mean over batches.

    Of a channel that a BatchNormalization scales and shifts the change is taken behind it, as the filter's own size
    says nothing there; of others from the filter.

    Args:
        model: With the channels that are left, compiled.
        graph: Graph of the model when it was whole.
        alive: Unit → whether it is left.
        examples: With labels as the model's losses take them.
    """
    norms = [layer for layer in model.layers if _scales(layer, graph) and layer.center]
    normalized = np.zeros(graph.size, np.bool_)
    for layer in norms:
        normalized[_left(graph, layer, alive)] = True
    makers = [layer for layer in model.layers if makes_channels(layer)]
    weights = [weight for layer in norms for weight in (layer.gamma, layer.beta)]
    for layer in makers:
        weights.extend([_main_kernel(layer), *([layer.bias] if layer.use_bias else [])])
    scores = np.zeros(graph.size)
    for features, labels in _batches(examples, model.output_names):
        gradients = _gradients(model, weights, features, labels)
        change = np.zeros(graph.size)
        for layer in norms:
            each = sum(gradients[id(weight)] * weight.numpy() for weight in (layer.gamma, layer.beta))
            np.add.at(change, _left(graph, layer, alive), each)
        for layer in makers:
            kernel = _main_kernel(layer)
            each = _filters(layer, gradients[id(kernel)] * kernel.numpy()).sum(axis=1)
            if layer.use_bias:
                each = each + gradients[id(layer.bias)] * layer.bias.numpy()
            units = _left(graph, layer, alive)
            np.add.at(change, units, np.where(normalized[units], 0.0, each))
        scores += np.square(change)
    return np.where(alive, scores, -np.inf)


def _gradients(
    model: tf_keras.Model, weights: list[Any], features: list[Any], labels: Any
) -> dict[int, npt.NDArray[Any]]:
    """Id of a weight → the gradient of the model's loss in inference; zeros if it does not depend on it."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(weights)
        loss = model.compute_loss(y=labels, y_pred=model(features, training=False))
    found = tape.gradient(loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return {id(weight): gradient.numpy() for weight, gradient in zip(weights, found, strict=True)}


def _batches(examples: Arrays, outputs: list[str]) -> Iterator[tuple[list[Any], Any]]:
    for start in range(0, len(examples), _BATCH):
        batch = examples.take(np.arange(start, min(start + _BATCH, len(examples))))
        # As the model's input takes them: a single tensor for a single input.
        features = [tf.constant(values) for values in batch.feature_arrays().values()]
        labels = tf.nest.map_structure(tf.constant, batch.labels_of(outputs))
        yield features, labels


def _scales(layer: Any, graph: ChannelGraph) -> bool:
    return type(layer) is tf_keras.layers.BatchNormalization and layer.scale and layer.name in graph.cuts


def _left(graph: ChannelGraph, layer: Any, alive: Alive) -> npt.NDArray[np.int64]:
    """The unit of each channel of a layer's output that is left."""
    units = graph.outputs[layer.name]
    return np.asarray(units[alive[units]])


def _main_kernel(layer: Any) -> Any:
    return layer.pointwise_kernel if hasattr(layer, "pointwise_kernel") else layer.kernel


def _filters(layer: Any, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Values of a kernel's shape as (output channels, all others)."""
    axis = -2 if isinstance(layer, tf_keras.layers.Conv2DTranspose) else -1
    return np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
