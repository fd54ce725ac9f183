"""Inputs of Keras's `fit` and `evaluate`: plain arrays, or the form that the strategy in scope needs.

Modules of distributed training are imported inside functions, and only if there is a strategy: without one they
cannot change a result, and `pipeline.plan.code_version` does not count them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
import tensorflow as tf
import tf_keras

from components.common.data.arrays import Arrays
from components.common.data.column import Values


def fit_arguments(
    train: Arrays,
    evaluation: Arrays,
    outputs: Sequence[str],
    batch_size: int,
    seed: int,
    steps_per_epoch: int,
) -> dict[str, Any]:
    """The examples as arguments of `Model.fit`.

    Args:
        train: Examples to train on.
        evaluation: Examples to measure after each epoch.
        outputs: Names of the model's outputs, in its order.
        batch_size: Examples in a step, of all replicas together.
        seed: Seed of the order of examples if there are several replicas.
        steps_per_epoch: Steps of the whole batch size.

    Raises:
        DistributionError: If a batch cannot be divided evenly.
    """
    if tf.distribute.has_strategy():
        from components.common.training import batches

        return batches.fit_arguments(train, evaluation, outputs, batch_size, seed, steps_per_epoch)
    x, y, weights = list(train.features.values()), train.labels_of(outputs), train.weights()
    if train.in_files():
        # Keras takes batches from array-likes as they are; of arrays beside them it makes tensors, whose examples it
        # takes one by one.
        x, y, weights = tf.nest.map_structure(
            lambda values: None if values is None else _Rows(values), (x, y, weights)
        )
    return {
        "x": x,
        "y": y,
        "sample_weight": weights,
        "validation_data": (list(evaluation.features.values()), evaluation.labels_of(outputs)),
        "batch_size": batch_size,
    }


def evaluation_arguments(
    evaluation: Arrays, outputs: Sequence[str], batch_size: int = 32
) -> dict[str, Any]:
    """The examples as arguments of `Model.evaluate`.

    Args:
        evaluation: The examples.
        outputs: Names of the model's outputs, in its order.
        batch_size: Examples in a step, of all replicas together.
    """
    if tf.distribute.has_strategy():
        from components.common.training import batches

        return batches.evaluation_arguments(evaluation, outputs, batch_size)
    labels = evaluation.labels_of(outputs)
    return {"x": list(evaluation.features.values()), "y": labels, "batch_size": batch_size}


class _Rows:
    """An array that Keras does not take for one, or a column."""

    def __init__(self, values: Values):
        self._values = values
        self.shape, self.dtype = values.shape, values.dtype

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, rows: Sequence[int]) -> npt.NDArray[Any]:
        return self._values[rows]


def callbacks() -> list[tf_keras.callbacks.Callback]:
    """Callbacks that the strategy in scope needs."""
    if not tf.distribute.has_strategy():
        return []
    from components.common.training import strategies

    return [strategies.OneStatistic()]


def facts() -> dict[str, str | int]:
    """How the model is trained: `distribution`, as the option says it, and the number of `replicas`."""
    if not tf.distribute.has_strategy():
        return {"distribution": "none", "replicas": 1}
    from components.common.training import strategies

    return strategies.facts_of(tf.distribute.get_strategy())
