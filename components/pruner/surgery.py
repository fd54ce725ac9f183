"""Choosing the weights that become zero by what a layer computes, and letting the others make up for them.

Of a layer with inputs X and weights W, those go whose loss changes the outputs X·W of calibration examples least, and
the ones that are left are fitted again by least squares: Hassibi and Stork, "Second Order Derivatives for Network
Pruning: Optimal Brain Surgeon" (1992), layer by layer as Frantar and Alistarh, "Optimal Brain Compression" (2022),
https://arxiv.org/abs/2208.11580, but in rounds rather than weight by weight. No labels are needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from components.common.models import layer_weights

_layers = tf_keras.layers
# Outputs × inputs³ of a kernel, at most: so the time grows, which is about a minute for 128 outputs of 1,152 inputs.
_MOST_WORK = 128 * 1152**3
# In which weights go, and those that are left make up for it.
_ROUNDS = 32
# Added to the diagonal, as a share of its mean: few examples leave directions in which inputs do not vary.
_DAMPING = 0.01
_BATCH = 50

Floats = NDArray[np.float64]


def can_operate(layer: tf_keras.layers.Layer) -> bool:
    """Whether a layer's outputs are its inputs, or patches of them, times its kernel; by exact class."""
    if type(layer) not in (_layers.Dense, _layers.Conv2D) or len(layer.inbound_nodes) != 1:
        return False
    if layer_weights.kernel_of(layer).shape[-1] * _inputs_of(layer) ** 3 > _MOST_WORK:
        return False
    return type(layer) is _layers.Dense or (
        layer.groups == 1 and max(layer.dilation_rate) == 1 and layer.data_format == "channels_last"
    )


def _inputs_of(layer: tf_keras.layers.Layer) -> int:
    return int(np.prod(layer_weights.kernel_of(layer).shape[:-1]))


def operate(
    model: tf_keras.Model, targets: Mapping[str, float], features: Mapping[str, NDArray[Any]]
) -> list[str]:
    """Prunes layers of a model, and lets their other weights make up for it.

    Args:
        model: Functional or Sequential; its kernels are changed in place.
        targets: Layer → share of its weights that become zero; those that are zero already are among them.
        features: Feature → (examples, …), in the order of the model's inputs.

    Returns:
        The layers that it pruned; all others are as they were.
    """
    chosen = [model.get_layer(name) for name, target in targets.items() if target > 0]
    chosen = [layer for layer in chosen if can_operate(layer)]
    if not chosen:
        return []
    for layer, moments in zip(chosen, _second_moments(model, chosen, features), strict=True):
        kernel = layer_weights.kernel_of(layer)
        weights = kernel.numpy().astype(np.float64).reshape(-1, kernel.shape[-1])
        pruned = prune_weights(weights, moments, targets[layer.name])
        kernel.assign(pruned.reshape(kernel.shape))
    return [layer.name for layer in chosen]


def _second_moments(
    model: tf_keras.Model, chosen: list[tf_keras.layers.Layer], features: Mapping[str, NDArray[Any]]
) -> list[Floats]:
    """XᵀX, (inputs, inputs), of each layer's inputs X for all examples and at all places."""
    reads = tf_keras.Model(model.inputs, [layer.input for layer in chosen])
    found = [np.zeros((_inputs_of(layer),) * 2) for layer in chosen]
    arrays = list(features.values())
    for start in range(0, len(arrays[0]), _BATCH):
        seen = reads([tf.constant(array[start : start + _BATCH]) for array in arrays], training=False)
        for moments, layer, values in zip(found, chosen, seen if len(chosen) > 1 else [seen], strict=True):
            rows = _rows(layer, tf.cast(values, tf.float32))
            moments += tf.matmul(rows, rows, transpose_a=True).numpy()
    return found


def _rows(layer: tf_keras.layers.Layer, values: tf.Tensor) -> tf.Tensor:
    """The values that a layer multiplies its kernel with, (examples × places, inputs)."""
    if type(layer) is _layers.Conv2D:
        values = tf.image.extract_patches(
            values, [1, *layer.kernel_size, 1], [1, *layer.strides, 1], [1, 1, 1, 1], layer.padding.upper()
        )
    return tf.reshape(values, [-1, values.shape[-1]])


def prune_weights(weights: Floats, moments: Floats, share: float) -> Floats:
    """Weights of which a share is zero, for outputs that differ little.

    Args:
        weights: (inputs, outputs); what is zero already stays zero.
        moments: XᵀX of the inputs, (inputs, inputs).
        share: Share of all weights; below 1.
    """
    inputs, outputs = weights.shape
    scale = np.trace(moments) / inputs or 1.0
    damped = moments + _DAMPING * scale * np.eye(inputs)
    whole = np.linalg.inv(damped)
    zeros = np.diff(np.round(np.linspace(0, round(share * weights.size), outputs + 1))).astype(int)
    pruned = np.zeros_like(weights)
    for output in range(outputs):
        left = np.flatnonzero(weights[:, output])
        fitted = weights[left, output]
        inverse = whole if len(left) == inputs else np.linalg.inv(damped[np.ix_(left, left)])
        for count in _falling(len(left), inputs - zeros[output]):
            # The cost of its loss after the other weights have compensated for it.
            order = np.argsort(np.square(fitted) / np.diag(inverse), kind="stable")
            gone, stays = order[: len(left) - count], np.sort(order[len(left) - count :])
            made_up = np.linalg.solve(inverse[np.ix_(gone, gone)], inverse[np.ix_(gone, stays)])
            inverse = inverse[np.ix_(stays, stays)] - inverse[np.ix_(stays, gone)] @ made_up
            fitted = fitted[stays] - made_up.T @ fitted[gone]
            left = left[stays]
        pruned[left, output] = fitted
    return pruned


def _falling(first: int, last: int) -> list[int]:
    """Numbers of weights to keep, each by the same share smaller than the one before, down to the last one."""
    if first <= last:
        return []
    counts = np.geomspace(first, max(last, 1), _ROUNDS + 1)[1:-1]
    return list(dict.fromkeys([*(int(count) for count in np.ceil(counts)), last]))
