"""The model that trains a student on labels and on its teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from components.distiller import features
from components.distiller.features import Pair
from components.distiller.losses import feature_loss
from components.distiller.outputs import Outputs


def in_order(inputs: Any, student: tf_keras.Model, teacher: tf_keras.Model) -> list[Any]:
    """Inputs of a student in the order of its teacher's, by name; an only one may have any name."""
    given = tf.nest.flatten(inputs)
    if len(teacher.input_names) == 1:
        return given
    by_name = dict(zip(student.input_names, given, strict=True))
    return [by_name[name] for name in teacher.input_names]


class Distiller(tf_keras.Model):
    """Trains a student on labels, and on the outputs and inner layers of a frozen teacher.

    What training reports as `loss` is the sum that is minimized; `label_loss`, `teacher_loss` and
    `feature_loss` are its parts before they are weighed, each the mean over an epoch. All else, and
    everything that validation reports, is of the student alone. Regularization of the student counts in
    full, whatever `alpha`.
    """

    def __init__(
        self,
        student: tf_keras.Model,
        teacher: tf_keras.Model,
        outputs: Outputs,
        temperature: float,
        alpha: float,
        pairs: Sequence[Pair] = (),
        variances: Sequence[float] = (),
        feature_weight: float = 1.0,
    ):
        """Puts the two together; both stay usable by themselves.

        Args:
            student: Trained in place.
            teacher: Frozen.
            outputs: How their outputs are compared.
            temperature: Softens outputs.
            alpha: Weight of the label loss; the teacher loss has the rest.
            pairs: Inner layers to compare.
            variances: Variances of the teacher's features, one for each pair.
            feature_weight: Weight of the mean of the pairs' losses.
        """
        super().__init__(name="distiller")
        self.student = student
        self.teacher = teacher
        self.teacher.trainable = False
        self._outputs = outputs
        self._temperature = temperature
        self._weights = {"label_loss": alpha, "teacher_loss": 1 - alpha}
        self._variances = tuple(variances)
        self._observed_student, self._observed_teacher = student, teacher
        self._projections: list[tf_keras.layers.Layer] = []
        if pairs:
            self._weights["feature_loss"] = feature_weight
            self._observed_student = features.with_features(student, [pair.learned for pair in pairs])
            self._observed_teacher = features.with_features(teacher, [pair.taught for pair in pairs])
            self._projections = [pair.projection() for pair in pairs]
            if not feature_weight:
                for projection in self._projections:
                    projection.trainable = False
        self._means = [tf_keras.metrics.Mean(name) for name in ("loss", *self._weights)]

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The student's outputs."""
        return self.student(inputs, training=training)

    @property
    def losses(self) -> list[tf.Tensor]:
        """Regularization of the student; the teacher's is none of its business."""
        return self.student.losses

    @property
    def metrics(self) -> list[tf_keras.metrics.Metric]:
        """The metrics that the student is judged by, without the teacher's own and the parts of the loss."""
        others = {id(metric) for metric in (*self.teacher.metrics, *self._means)}
        return [metric for metric in super().metrics if id(metric) not in others]

    def reset_metrics(self) -> None:
        """Forgets the epoch's values."""
        super().reset_metrics()
        for mean in self._means:
            mean.reset_state()

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of gradient descent on the weighted sum of the losses."""
        inputs, labels, weights = tf_keras.utils.unpack_x_y_sample_weight(data)
        taught = self._observed_teacher(in_order(inputs, self.student, self.teacher), training=False)
        with tf.GradientTape() as tape:
            given = self._observed_student(inputs, training=True)
            outputs, learned = (given[0], given[1]) if self._projections else (given, ())
            taught, hints = (taught[0], taught[1]) if self._projections else (taught, ())
            # Gradients are summed over replicas: Keras divides the loss of labels by their number, for the
            # sum to be that of the mean.
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            parts = [
                self.compiled_loss(labels, outputs, weights) * replicas,
                self._outputs.loss(
                    tf.nest.flatten(taught)[0], tf.nest.flatten(outputs)[0], self._temperature
                ),
            ]
            if self._projections:
                parts.append(self._feature_loss(hints, learned))
            # Parts with weight 0 are left out: 0 × infinity is not a number.
            counted = [w * part for w, part in zip(self._weights.values(), parts, strict=True) if w]
            loss = tf.add_n([*counted, *self.losses])
            share = loss / replicas
        self.optimizer.minimize(share, self.trainable_variables, tape=tape)
        metrics = self.compute_metrics(inputs, labels, outputs, weights)
        examples = tf.shape(tf.nest.flatten(inputs)[0])[0]
        for mean, value in zip(self._means, (loss, *parts), strict=True):
            mean.update_state(value, sample_weight=examples)
        return {**metrics, **{mean.name: mean.result() for mean in self._means}}

    def _feature_loss(self, hints: Sequence[tf.Tensor], learned: Sequence[tf.Tensor]) -> tf.Tensor:
        projected = [layer(values) for layer, values in zip(self._projections, learned, strict=True)]
        losses = [
            feature_loss(hint, values, variance)
            for hint, values, variance in zip(hints, projected, self._variances, strict=True)
        ]
        return tf.add_n(losses) / len(losses)
