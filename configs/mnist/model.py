"""A small CNN for 28×28 digits, and a smaller student for it.

Pixels go in as they are, 0 to 255: the first BatchNormalization scales them, and an int8 model then
takes `pixel - 128`.
"""

from __future__ import annotations

from typing import Any

import tf_keras

layers = tf_keras.layers


def _conv_block(x: Any, filters: int, strides: int, name: str) -> Any:
    # Convolution, BatchNormalization, ReLU, in this order, is what quantization-aware training folds.
    x = layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False, name=name)(x)
    # 0.9, as a few epochs are too short for the default 0.99 to settle.
    x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _compiled(inputs: Any, outputs: Any, hparams: dict[str, Any], name: str) -> tf_keras.Model:
    model = tf_keras.Model(inputs, outputs, name=name)
    model.compile(
        optimizer=tf_keras.optimizers.Adam(hparams["learning_rate"]),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def build_model(hparams: dict[str, Any]) -> tf_keras.Model:
    """The baseline. Input `image`: (batch, 28, 28, 1); output: (batch, 10) probabilities."""
    first, second = hparams["filters"]
    image = layers.Input((28, 28, 1), name="image")
    x = _conv_block(image, first, strides=2, name="conv1")
    x = _conv_block(x, second, strides=2, name="conv2")
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(hparams["units"], activation="relu", name="dense")(x)
    x = layers.Dense(10, activation="softmax", name="probabilities")(x)
    return _compiled(image, x, hparams, "digits")


def build_student(hparams: dict[str, Any]) -> tf_keras.Model:
    """The student, some hundredths of the parameters; shapes as build_model's."""
    image = layers.Input((28, 28, 1), name="image")
    x = _conv_block(image, 8, strides=2, name="conv1")
    x = _conv_block(x, 16, strides=2, name="conv2")
    x = layers.MaxPool2D(name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(10, activation="softmax", name="probabilities")(x)
    return _compiled(image, x, hparams, "digits_student")
