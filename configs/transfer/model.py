"""A small CNN for digits, from scratch or on the convolutions of one that has seen other digits.

Pixels go in as they are, 0 to 255: the first BatchNormalization scales them.
"""

from __future__ import annotations

from typing import Any

import tf_keras

layers = tf_keras.layers


def build_trunk(hparams: dict[str, Any]) -> tf_keras.Model:
    """Convolutions. Input `image`: (batch, 28, 28, 1); output: (batch, features)."""
    image = layers.Input((28, 28, 1), name="image")
    x = image
    for number, filters in enumerate(hparams["filters"], start=1):
        name = f"conv{number}"
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False, name=name)(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
        x = layers.ReLU(name=f"{name}_relu")(x)
    return tf_keras.Model(image, layers.Flatten(name="flatten")(x), name="digits")


def build_model(hparams: dict[str, Any], pretrained: tf_keras.Model | None = None) -> tf_keras.Model:
    """The baseline; output: (batch, 5) probabilities.

    Args:
        hparams: `filters` of each convolution, and `learning_rate`.
        pretrained: The trunk to build on; None for a new one.
    """
    trunk = build_trunk(hparams) if pretrained is None else pretrained
    x = layers.Dense(5, activation="softmax", name="probabilities")(trunk.output)
    model = tf_keras.Model(trunk.inputs, x, name="digits")
    model.compile(
        optimizer=tf_keras.optimizers.Adam(hparams["learning_rate"]),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model
