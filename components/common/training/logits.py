"""Logits of a classifier's outputs, whatever they went through."""

from __future__ import annotations

import tensorflow as tf

# Small enough to keep what a confident teacher says of its unlikely classes, and large enough that the
# gradient of the logarithm does not overflow.
_SMALLEST = 1e-30


def to_logits(outputs: tf.Tensor, activation: str) -> tf.Tensor:
    """Logits of a classifier's outputs.

    Args:
        outputs: (batch, …, classes).
        activation: What the outputs went through: softmax, sigmoid, or linear for logits. The logarithm
            of probabilities differs from the logits by a constant for each example, which softmax does
            not see.

    Returns:
        float32, as `outputs` in shape.
    """
    outputs = tf.cast(outputs, tf.float32)
    if activation == "softmax":
        return tf.math.log(tf.clip_by_value(outputs, _SMALLEST, 1.0))
    if activation == "sigmoid":
        outputs = tf.clip_by_value(outputs, _SMALLEST, 1.0 - 1e-7)
        return tf.math.log(outputs) - tf.math.log1p(-outputs)
    return outputs
