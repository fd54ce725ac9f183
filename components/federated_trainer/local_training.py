"""Training and measuring one model object as that of one client after another: its functions are traced once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from components.common.data.arrays import Arrays
from components.common.models.stock_layers import without_autograph
from components.common.training.error import TrainingError

# Examples that are measured together: a larger batch only costs memory.
_MEASURED_TOGETHER = 512

Metrics = dict[str, float]


class LocalTraining:
    """A compiled model with the functions that train and measure it."""

    def __init__(
        self,
        model: tf_keras.Model,
        some: Arrays,
        mu: float = 0.0,
        callbacks: Sequence[tf_keras.callbacks.Callback] = (),
    ):
        """Makes the variables of the optimizer and the metrics, so that nothing has to be traced twice.

        Args:
            model: Compiled.
            some: At least one example as clients have them.
            mu: FedProx's weight of half the squared distance from the weights that a client began with; 0 for none.
            callbacks: Called after each batch that is trained on, as Keras does.
        """
        self._model = model
        self._callbacks = callbacks
        self._signature = tf.nest.map_structure(_spec, _columns(some, model))
        measured = tf.nest.map_structure(_spec, _columns(some, model)[:2])
        self._measure_step: Any = tf.function(
            without_autograph(model.test_step, model), input_signature=[measured]
        )
        self._anchors = _anchors(model) if mu else []
        if mu:
            model.compute_loss = self._held_near(model.compute_loss, mu)
        self._train_step: Any = tf.function(
            without_autograph(model.train_step, model), input_signature=[self._signature]
        )
        model.test_step(tf.nest.map_structure(tf.constant, _columns(some.take(range(1)), model)[:2]))
        model.reset_metrics()
        model.optimizer.build(model.trainable_variables)
        self._fresh = [variable.numpy() for variable in model.optimizer.variables]

    def train(self, examples: Arrays, epochs: int, batch_size: int, random: np.random.Generator) -> Metrics:
        """Trains the model with a fresh optimizer.

        Args:
            examples: Of one client.
            epochs: Passes over them.
            batch_size: Examples in a step; the last one of a pass may have fewer.
            random: Source of their order.

        Returns:
            Loss and metrics of the last pass.

        Raises:
            TrainingError: If the loss is not finite.
        """
        for variable, value in zip(self._model.optimizer.variables, self._fresh, strict=True):
            variable.assign(value)
        for anchor, variable in zip(self._anchors, self._model.trainable_variables, strict=False):
            anchor.assign(variable)
        found: Metrics = {}
        for _ in range(epochs):
            self._model.reset_metrics()
            order = random.permutation(len(examples))
            batches = (
                np.sort(order[start : start + batch_size]) for start in range(0, len(order), batch_size)
            )
            found = self._run(self._learn, (_columns(examples.take(rows), self._model) for rows in batches))
        if not math.isfinite(found["loss"]):
            raise TrainingError(f"its training loss became {found['loss']}")
        return found

    def measure(self, examples: Arrays) -> Metrics:
        """Loss and metrics of the model on some examples, as `evaluate` gives them."""
        self._model.reset_metrics()
        starts = range(0, len(examples), _MEASURED_TOGETHER)
        pieces = (range(start, min(start + _MEASURED_TOGETHER, len(examples))) for start in starts)
        batches = (_columns(examples.take(np.arange(p.start, p.stop)), self._model)[:2] for p in pieces)
        return self._run(self._measure_step, batches)

    def _run(self, step: Any, batches: Iterator[tuple[Any, ...]]) -> Metrics:
        logs: dict[str, Any] = {}
        for batch in batches:
            logs = step(tf.nest.map_structure(tf.constant, batch))
        return {name: float(value) for name, value in logs.items()}

    def _learn(self, batch: Any) -> Any:
        logs = self._train_step(batch)
        for callback in self._callbacks:
            callback.on_train_batch_end(0)
        return logs

    def _held_near(self, loss: Callable[..., Any], mu: float) -> Callable[..., Any]:
        """Li et al. (2020), https://arxiv.org/abs/1812.06127, equation 2."""

        def compute_loss(*arguments: Any, **named: Any) -> Any:
            pairs = zip(self._model.trainable_variables, self._anchors, strict=True)
            distance = tf.add_n([tf.reduce_sum(tf.math.squared_difference(v, a)) for v, a in pairs])
            return loss(*arguments, **named) + mu / 2 * distance

        return compute_loss


def _anchors(model: tf_keras.Model) -> list[tf.Variable]:
    return [tf.Variable(variable, trainable=False) for variable in model.trainable_variables]


def _columns(examples: Arrays, model: tf_keras.Model) -> tuple[Any, ...]:
    """Features, labels and, if examples do not count alike, their weights, as a step of Keras takes them."""
    labels = examples.labels_of(model.output_names)
    features = [np.asarray(values) for values in examples.features.values()]
    taken = [np.asarray(values) for values in labels] if isinstance(labels, list) else np.asarray(labels)
    weights = examples.weights()
    inputs = features if len(features) > 1 else features[0]
    return (inputs, taken) if weights is None else (inputs, taken, weights)


def _spec(values: Any) -> tf.TensorSpec:
    dtype = tf.string if values.dtype.hasobject else tf.as_dtype(values.dtype)
    return tf.TensorSpec([None, *values.shape[1:]], dtype)
