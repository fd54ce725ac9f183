"""Keeping AutoGraph away from models that have no need of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import tensorflow as tf
import tf_keras

Function = TypeVar("Function", bound=Callable[..., Any])

# `components`: the Distiller, a model of our own without such control flow.
_STOCK = ("tf_keras", "keras", "tensorflow", "tensorflow_model_optimization", "components")


def only_stock_layers(model: tf_keras.Model) -> bool:
    """Whether all of a model's layers are Keras's or TFMOT's own."""
    return all(
        type(layer).__module__.partition(".")[0] in _STOCK
        for layer in model._flatten_layers(include_self=True)
    )


def without_autograph(function: Function, model: tf_keras.Model) -> Function:
    """`function`, which AutoGraph does not rewrite if the model has stock layers only.

    AutoGraph takes tf_keras for user code and rewrites some thousand of its functions, 27 s of CPU time
    in each process, though none of them has control flow that depends on tensors. A custom layer may,
    so that a model with one is left to AutoGraph.
    """
    if only_stock_layers(model):
        return tf.autograph.experimental.do_not_convert(function)
    return function
