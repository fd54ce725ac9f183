"""A user's module with a model of each kind."""

from __future__ import annotations

from typing import Any

import tf_keras

L = tf_keras.layers


def regression(hparams: dict[str, Any]) -> tf_keras.Model:
    x = L.Input((4,), name="x")
    hidden = L.Dense(hparams.get("units", 16), activation="relu", name="hidden")(x)
    model = tf_keras.Model(x, L.Dense(1, name="value")(hidden))
    model.compile(tf_keras.optimizers.Adam(0.01), "mse", ["mae"])
    return model


def smaller(hparams: dict[str, Any]) -> tf_keras.Model:
    return regression({"units": 6})


def multilabel(hparams: dict[str, Any]) -> tf_keras.Model:
    x = L.Input((4,), name="x")
    hidden = L.Dense(16, activation="relu", name="hidden")(x)
    model = tf_keras.Model(x, L.Dense(3, activation="sigmoid", name="tags")(hidden))
    model.compile(tf_keras.optimizers.Adam(0.01), "binary_crossentropy")
    return model


def smaller_multilabel(hparams: dict[str, Any]) -> tf_keras.Model:
    return multilabel(hparams)


def two(hparams: dict[str, Any]) -> tf_keras.Model:
    small, large = L.Input((4,), name="small"), L.Input((4,), name="large")
    both = L.Concatenate(name="both")(
        [
            L.Dense(8, activation="relu", name="of_large")(large),
            L.Dense(8, activation="relu", name="of_small")(small),
        ]
    )
    hidden = L.Dense(16, activation="relu", name="hidden")(both)
    side = L.Dense(2, activation="softmax", name="side")(hidden)
    gap = L.Dense(1, name="gap")(hidden)
    model = tf_keras.Model([small, large], [side, gap])
    losses = {"gap": "mse", "side": "sparse_categorical_crossentropy"}
    model.compile(tf_keras.optimizers.Adam(0.01), losses, {"side": "accuracy"})
    return model


def recurrent(hparams: dict[str, Any]) -> tf_keras.Model:
    rows = L.Input((8, 8), name="rows")
    memory = L.GRU(16, unroll=hparams.get("unroll", True), name="memory")(rows)
    model = tf_keras.Model(rows, L.Dense(10, activation="softmax", name="digit")(memory))
    model.compile(tf_keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", ["accuracy"])
    return model


def convolutional(hparams: dict[str, Any]) -> tf_keras.Model:
    rows = L.Input((8, 8), name="rows")
    found = L.Conv1D(16, 3, activation="relu", name="found")(rows)
    flat = L.Flatten(name="flat")(found)
    model = tf_keras.Model(rows, L.Dense(10, activation="softmax", name="digit")(flat))
    model.compile(tf_keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", ["accuracy"])
    return model


def autoencoder(hparams: dict[str, Any]) -> tf_keras.Model:
    x = L.Input((2, 2, 1), name="x")
    hidden = L.Dense(3, activation="tanh", name="hidden")(L.Flatten(name="flat")(x))
    y = L.Reshape((2, 2, 1), name="again")(L.Dense(4, name="values")(hidden))
    model = tf_keras.Model(x, y)
    model.compile(tf_keras.optimizers.Adam(0.01), "mse")
    return model


def segmentation(hparams: dict[str, Any]) -> tf_keras.Model:
    x = L.Input((2, 2, 1), name="x")
    hidden = L.Conv2D(8, 1, activation="relu", name="hidden")(x)
    model = tf_keras.Model(x, L.Conv2D(3, 1, activation="softmax", name="mask")(hidden))
    model.compile(tf_keras.optimizers.Adam(0.03), "sparse_categorical_crossentropy", ["accuracy"])
    return model


def build_model(hparams: dict[str, Any]) -> tf_keras.Model:
    return globals()[hparams["kind"]](hparams)
