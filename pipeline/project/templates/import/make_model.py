"""How digits.h5 was made. Replace that file with your own model.

python make_model.py mnist.npz     # with x_train and y_train, as in tf_keras.datasets.mnist
"""

from __future__ import annotations

import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = (
    "1"  # set before TensorFlow is imported: TFMOT optimizes tf_keras models
)

import numpy as np
import tf_keras

layers = tf_keras.layers


def build() -> tf_keras.Model:
    """A small CNN. Input `image`: (batch, 28, 28, 1), pixels 0 to 255; output: (batch, 10) probabilities."""
    image = layers.Input((28, 28, 1), name="image")
    x = image
    for index, filters in enumerate((8, 16)):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False, name=f"conv{index}")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"conv{index}_bn")(x)
        x = layers.ReLU(name=f"conv{index}_relu")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(10, activation="softmax", name="probabilities")(x)
    return tf_keras.Model(image, x, name="digits")


def main(data: str) -> None:
    """Trains the model and writes digits.h5."""
    tf_keras.utils.set_random_seed(1)
    with np.load(data) as arrays:
        images, labels = arrays["x_train"].reshape(-1, 28, 28, 1).astype(np.float32), arrays["y_train"]
    model = build()
    compile_(model)
    model.fit(images, labels, epochs=4, batch_size=128, verbose=2)
    compile_(model)  # again: later training uses the loss and the optimizer, without Adam's state
    model.save("digits.h5")


def compile_(model: tf_keras.Model) -> None:
    """Sets loss, metrics and optimizer."""
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])


if __name__ == "__main__":
    main(*sys.argv[1:])
