"""Training a model on its baseline's own outputs in place of labels.

What is minimized is the squared distance of logits, if outputs are probabilities or logits (Ba and Caruana, "Do Deep
Nets Really Need to be Deep?", 2014, https://arxiv.org/abs/1312.6184; Kim et al., "Comparing Kullback-Leibler
Divergence and Mean Squared Error Loss in Knowledge Distillation", 2021, https://arxiv.org/abs/2105.08919), and that of
the values themselves if they are neither. A step that leaves the model too small to match all logits asks for the
divergence of softened probabilities instead, in which classes count as far as they are likely: Hinton, Vinyals and
Dean, "Distilling the Knowledge in a Neural Network" (2015), https://arxiv.org/abs/1503.02531. It needs no labels, and a
few thousand examples say more by all logits than by one class each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf_keras

from components.common.base.layer_names import plain_name
from components.common.data.arrays import Arrays
from components.common.models.output_kind import PROBABILITIES, activation_of
from components.common.models.stock_layers import without_autograph
from components.common.training.logits import to_logits

# For a model without a learning rate: the default of Keras's Adam.
LEARNING_RATE = 1e-3
_BATCH = 256


@dataclass(frozen=True)
class Answer:
    """The kind of an output of the baseline.

    Attributes:
        name: Name of the output.
        of: What makes, or made, probabilities of it: softmax or sigmoid; empty for plain values.
        logits: Whether it is what goes into that, and not what comes out.
    """

    name: str
    of: str = ""
    logits: bool = False

    def distance(self, temperature: float | None = None) -> Callable[[Any, Any], tf.Tensor]:
        """The loss: of shape (batch, …) for two tensors of shape (batch, …, units).

        Args:
            temperature: Divides the logits if the divergence of probabilities is meant; None for the squared
                distance of logits. Plain values are always compared by squared distance.
        """
        went_through = "linear" if self.logits or not self.of else self.of

        def distance_to_baseline(taught: Any, outputs: Any) -> tf.Tensor:
            wanted, given = to_logits(taught, went_through), to_logits(outputs, went_through)
            if temperature is not None and self.of:
                return _divergence(wanted / temperature, given / temperature, self.of) * temperature**2
            difference = wanted - given
            if self.of == "softmax":  # which does not see what all logits have in common
                difference -= tf.reduce_mean(difference, axis=-1, keepdims=True)
            return tf.reduce_mean(tf.square(difference), axis=-1)

        return distance_to_baseline

    def metric(self) -> Callable[[Any, Any], tf.Tensor]:
        """`agreement`, the share of the same decisions; of plain values, `mean_absolute_error`."""

        def agreement(taught: Any, outputs: Any) -> tf.Tensor:
            if self.of == "softmax":
                same = tf.equal(tf.argmax(taught, axis=-1), tf.argmax(outputs, axis=-1))
                return tf.cast(same, tf.float32)
            least = 0.0 if self.logits else 0.5
            return tf.reduce_mean(tf.cast(tf.equal(taught >= least, outputs >= least), tf.float32), axis=-1)

        return agreement if self.of else tf_keras.losses.mean_absolute_error


def _divergence(wanted: tf.Tensor, given: tf.Tensor, activation: str) -> tf.Tensor:
    """Kullback-Leibler divergence of what softmax makes of logits, or the mean of what sigmoid makes of each unit."""
    if activation == "softmax":
        likelihood = tf.nn.log_softmax(wanted) - tf.nn.log_softmax(given)
        return tf.reduce_sum(tf.nn.softmax(wanted) * likelihood, axis=-1)
    of_one = tf.math.log_sigmoid(wanted) - tf.math.log_sigmoid(given)
    of_other = tf.math.log_sigmoid(-wanted) - tf.math.log_sigmoid(-given)
    return tf.reduce_mean(tf.sigmoid(wanted) * of_one + tf.sigmoid(-wanted) * of_other, axis=-1)


def metrics_of(answers: list[Answer]) -> list[str]:
    """Figures of the eval split that early stopping can monitor."""
    names = [answer.metric().__name__ for answer in answers]
    if len(answers) > 1:
        return ["val_loss", *(f"val_{a.name}_{name}" for a, name in zip(answers, names, strict=True))]
    return ["val_loss", f"val_{names[0]}"]


def answers_of(model: tf_keras.Model, logits: Mapping[str, str]) -> list[Answer]:
    """The kinds of a baseline's outputs, in its order.

    Args:
        model: Functional or Sequential.
        logits: Outputs that are known to be logits → softmax or sigmoid, as `output_kind.logits` returns them.
    """
    found = []
    for output, tensor in zip(model.output_names, model.outputs, strict=True):
        name, end = plain_name(output), activation_of(tensor)
        if end in PROBABILITIES:
            found.append(Answer(name, str(end)))
        else:
            found.append(Answer(name, logits.get(name, ""), logits=name in logits))
    return found


def with_answers(examples: Arrays, baseline: tf_keras.Model, features: list[str]) -> Arrays:
    """The same examples with the baseline's outputs as labels.

    Args:
        examples: With or without labels.
        baseline: Answers as in inference.
        features: Those that feed its inputs, in their order.
    """
    baseline.predict_step = without_autograph(baseline.predict_step, baseline)
    given = baseline.predict([examples.features[name] for name in features], batch_size=_BATCH, verbose=0)
    if len(baseline.output_names) == 1:
        return Arrays(examples.features, given)
    names = [plain_name(name) for name in baseline.output_names]
    return Arrays(examples.features, dict(zip(names, given, strict=True)))
