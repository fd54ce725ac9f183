"""Training on mixtures of examples, for which the baseline answers as for any other.

A mixture of two examples is their mean with random weights, as in Zhang et al., "mixup: Beyond Empirical Risk
Minimization" (2018), https://arxiv.org/abs/1710.09412; but nobody has to guess its label. Mixtures lie between classes,
where decisions change, and no two are the same, however few the examples: Beyer et al., "Knowledge distillation: A good
teacher is patient and consistent" (2022), https://arxiv.org/abs/2106.05237.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from components.common.base.layer_names import plain_name


def can_mix(model: tf_keras.Model) -> bool:
    """Whether there is a mean of a model's inputs: there is none of strings or indices."""
    return all(tensor.dtype.is_floating for tensor in model.inputs)


def mixed(features: Sequence[tf.Tensor], share: float, seed: Any) -> tuple[tf.Tensor, ...]:
    """A batch in which some examples are mixed with the ones before them.

    Args:
        features: (batch, …) each; the features of an example get the same weights.
        share: Expected share of mixtures; the others are as they were.
        seed: Two whole numbers that say which examples, and with which weights, from 0 to 1.
    """
    chance, weight = tf.unstack(tf.random.stateless_uniform([2, tf.shape(features[0])[0]], seed))
    weight = tf.where(chance < share, weight, 1.0)

    def of(values: tf.Tensor) -> tf.Tensor:
        own = tf.reshape(tf.cast(weight, values.dtype), [-1] + [1] * (values.shape.rank - 1))
        return own * values + (1 - own) * tf.roll(values, 1, axis=0)

    return tuple(of(values) for values in features)


def train_on_mixtures(
    model: tf_keras.Model, baseline: tf_keras.Model, inputs: Sequence[int], share: float, seed: int
) -> None:
    """Has each training step of a model mix some of its examples, and take the baseline's outputs for them.

    Args:
        model: Compiled; trained with the baseline's outputs as labels.
        baseline: Answers as in inference.
        inputs: Of each of the baseline's inputs, the position of the feature in the model's examples.
        share: Expected share of mixtures in a batch.
        seed: With the number of the step, it says what is mixed: the same in each training.
    """
    one_step = model.train_step
    names = [plain_name(name) for name in baseline.output_names]
    wanted = [names.index(plain_name(name)) for name in model.output_names]

    def train_step(data: Any) -> dict[str, Any]:
        features, _, weights = tf_keras.utils.unpack_x_y_sample_weight(data)
        iteration = tf.cast(model.optimizer.iterations, tf.int64)
        features = mixed(features, share, tf.stack([tf.constant(seed, tf.int64), iteration]))
        answers = tf.nest.flatten(baseline([features[position] for position in inputs], training=False))
        taught = tuple(answers[index] for index in wanted)
        # Not pack_x_y_sample_weight, which would take a feature out of its tuple.
        labels = taught if len(taught) > 1 else taught[0]
        return one_step((features, labels) if weights is None else (features, labels, weights))

    model.train_step = train_step
