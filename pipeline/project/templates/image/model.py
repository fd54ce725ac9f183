"""A small CNN for images. It takes pixels from 0 to 255: the first BatchNormalization scales them."""

from __future__ import annotations

from typing import Any

import tf_keras

layers = tf_keras.layers

SIZE = (28, 28, 1)  # height, width, channels, as in data.image of pipeline.yaml
CLASSES = 10


def build_model(hparams: dict[str, Any]) -> tf_keras.Model:
    """The baseline. Input `image`: (batch, 28, 28, 1); output: (batch, classes) probabilities."""
    image = layers.Input(SIZE, name="image")
    x = image
    for index, filters in enumerate(hparams["filters"]):
        # Quantization folds convolution, BatchNormalization and ReLU into one if they come in this order.
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False, name=f"conv{index}")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"conv{index}_bn")(x)
        x = layers.ReLU(name=f"conv{index}_relu")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(CLASSES, activation="softmax", name="probabilities")(x)
    model = tf_keras.Model(image, x, name="classifier")
    model.compile(
        optimizer=tf_keras.optimizers.Adam(hparams["learning_rate"]),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model
