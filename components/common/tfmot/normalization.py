"""Layers that compute differently in training than once deployed: BatchNormalization and Dropout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import tensorflow as tf
import tf_keras

from components.common.data.column import Values


def _of_kind(model: tf_keras.Model, kind: type[tf_keras.layers.Layer]) -> list[tf_keras.layers.Layer]:
    inner = [getattr(layer, "layer", layer) for layer in model.layers]
    return [layer for layer in inner if isinstance(layer, kind)]


@contextmanager
def _called(layers: Sequence[tf_keras.layers.Layer], training: bool) -> Iterator[None]:
    """Lets layers compute as in training, or as once deployed, in every call."""

    def fixed(layer: tf_keras.layers.Layer) -> Any:
        call, always = layer.call, training

        def call_fixed(inputs: Any, training: Any = None) -> Any:
            return call(inputs, training=always)

        return call_fixed

    for layer in layers:
        layer.call = fixed(layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call


@contextmanager
def frozen_statistics(model: tf_keras.Model) -> Iterator[None]:
    """Trains with the statistics that a model has, as it computes once it is deployed; scale and shift are trained.

    Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference" (2018), section 3.2.2,
    https://arxiv.org/abs/1806.08342.
    """
    with _called(_of_kind(model, tf_keras.layers.BatchNormalization), training=False):
        yield


@contextmanager
def without_dropout(model: tf_keras.Model) -> Iterator[None]:
    """Trains with all units: what Dropout changes in a few steps is far more than what int8 does."""
    with _called(_of_kind(model, tf_keras.layers.Dropout), training=False):
        yield


def estimate_statistics(model: tf_keras.Model, features: Mapping[str, Values], batch_size: int) -> None:
    """Sets the statistics of each BatchNormalization to the means over batches of examples.

    Wu and Johnson, "Rethinking 'Batch' in BatchNorm" (2021), section 3, https://arxiv.org/abs/2105.07576.

    Args:
        model: Changed in place.
        features: Feature → (examples, …), in the order of the model's inputs.
        batch_size: Examples of a batch; what is left over does not count.
    """
    norms = _of_kind(model, tf_keras.layers.BatchNormalization)
    momenta = [layer.momentum for layer in norms]
    arrays = list(features.values())
    count = len(arrays[0])
    batch_size = min(batch_size, count)
    try:
        with _called(norms, training=True):
            for number in range(count // batch_size):
                for layer in norms:
                    layer.momentum = number / (number + 1)
                part = slice(number * batch_size, (number + 1) * batch_size)
                model([tf.constant(array[part]) for array in arrays], training=False)
    finally:
        for layer, momentum in zip(norms, momenta, strict=True):
            layer.momentum = momentum
