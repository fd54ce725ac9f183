"""The losses that compare a student with its teacher."""

from __future__ import annotations

import tensorflow as tf


def distillation_loss(
    teacher_logits: tf.Tensor, student_logits: tf.Tensor, temperature: float, independent: bool = False
) -> tf.Tensor:
    """Cross-entropy of the student's softened outputs with the teacher's, times temperature squared.

    The factor keeps gradients at the size of the label loss's, as in section 2 of Hinton et al. (2015),
    https://arxiv.org/abs/1503.02531.

    Args:
        teacher_logits: (batch, …, classes); with one class, sigmoid outputs are compared.
        student_logits: Like `teacher_logits`.
        temperature: Divides both.
        independent: Whether classes do not exclude each other, so that each is a sigmoid of its own.

    Returns:
        A scalar, the mean over the batch.
    """
    teacher, student = teacher_logits / temperature, student_logits / temperature
    if independent or teacher.shape[-1] == 1:
        loss = tf.nn.sigmoid_cross_entropy_with_logits(tf.nn.sigmoid(teacher), student)
    else:
        loss = tf.nn.softmax_cross_entropy_with_logits(tf.nn.softmax(teacher), student)
    return tf.reduce_mean(loss) * temperature**2


def mean_squared_error(teacher: tf.Tensor, student: tf.Tensor) -> tf.Tensor:
    """Mean of the squared differences, a scalar; both of one shape."""
    # Sizes that a model leaves free show only here; a size of 1 would be broadcast in silence.
    tf.debugging.assert_equal(tf.shape(teacher), tf.shape(student), "teacher and student differ in shape")
    return tf.reduce_mean(tf.math.squared_difference(tf.cast(teacher, tf.float32), student))


def feature_loss(teacher: tf.Tensor, student: tf.Tensor, variance: float) -> tf.Tensor:
    """The hint loss of Romero et al. (2015), https://arxiv.org/abs/1412.6550, free of scale.

    The mean squared error in units of the teacher's own variance, so that a layer weighs the same
    whether its values are around 0.01 or 100: 1 − R², the share that is left unexplained.

    Args:
        teacher: Features (batch, …, channels).
        student: Like `teacher`, after the projection.
        variance: Variance of the teacher's features, as `features.variance` measures it.

    Returns:
        A scalar: 1 for a student that gives each channel's mean, 0 for one that gives the same.
    """
    return mean_squared_error(teacher, tf.cast(student, tf.float32)) / variance
