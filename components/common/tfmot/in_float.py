"""A layer that the converter leaves in float between layers that it quantizes."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras


class InFloat(tf_keras.layers.Wrapper):
    """Feeds a layer values that have been through float64 and back, which changes nothing.

    If there are quantized layers on both sides, the converter always quantizes what is between them, but it does not
    see through the type.
    """

    def call(self, inputs: tf.Tensor, **arguments: Any) -> Any:
        """The layer's outputs."""
        barred = tf.cast(tf.cast(inputs, tf.float64), inputs.dtype)
        return self.layer(barred, **arguments)
