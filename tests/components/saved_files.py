"""Models in every format that they are saved in, made by plain Keras."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

WHOLE = {"keras": "model.keras", "h5": "model.h5", "keras_saved_model": "model"}
WEIGHTS = {
    "weights": "model.weights.h5",
    "old weights": "old.h5",
    "checkpoint": "checkpoint/w",
    "weights of a keras file": "model.keras",
    "weights of an h5 file": "model.h5",
}


class Doubled(tf_keras.layers.Dense):
    """A layer that no file has the code of, and no module that Keras could import."""

    __module__ = "elsewhere"


@dataclass(frozen=True)
class SavedFiles:
    """One model, saved in several ways.

    Attributes:
        folder: Folder of the files.
        inputs: (examples, 4).
        outputs: What the model gives for them, (examples, 3).
    """

    folder: Path
    inputs: np.ndarray
    outputs: np.ndarray

    def path(self, name: str) -> str:
        return str(self.folder / name)


def build(
    units: int = 8,
    layers: int = 1,
    compiled: bool = True,
    end: bool = True,
    dense: Any = tf_keras.layers.Dense,
) -> tf_keras.Model:
    """The model, with names that a user's model may have."""
    inputs = outputs = tf_keras.layers.Input((4,), name="input_1")
    for number in range(layers):
        outputs = dense(units, activation="relu", name=f"hidden{number}")(outputs)
    if end:
        outputs = tf_keras.layers.Dense(3, activation="softmax", name="probabilities")(outputs)
    model = tf_keras.Model(inputs, outputs)
    if compiled:
        model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


def make(folder: Path) -> SavedFiles:
    """Saves a model in all formats, and what cannot be used beside it."""
    import keras

    warnings.filterwarnings("ignore", message="You are saving your model as an HDF5 file")
    random = np.random.default_rng(3)
    inputs = random.random((6, 4), np.float32)
    tf_keras.utils.set_random_seed(3)
    model = build()
    model.set_weights([random.normal(size=weight.shape) for weight in model.get_weights()])
    model.save(folder / "model.keras")
    model.save(folder / "model.h5")
    save_folder(model, folder / "model")
    model.save_weights(folder / "model.weights.h5")
    model.save_weights(folder / "old.h5")
    model.save_weights(str(folder / "checkpoint/w"))
    build(compiled=False).save(folder / "uncompiled.keras")
    build(dense=Doubled).save(folder / "custom.keras")
    build(dense=Doubled).save(folder / "custom.h5")
    save_folder(build(dense=Doubled), folder / "custom")
    doubling = tf_keras.Model(model.input, tf_keras.layers.Lambda(lambda x: 2 * x)(model.output))
    doubling.save(folder / "lambda.keras")
    doubling.save(folder / "lambda.h5")
    save_folder(doubling, folder / "lambda")
    _save_plain(model, folder)
    new = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3)])
    new.save(folder / "keras3.keras")
    new.save(folder / "keras3.h5")
    _damage(folder)
    return SavedFiles(folder, inputs, model(inputs).numpy())


def save_folder(model: tf_keras.Model, folder: Path) -> None:
    """Saves a SavedModel; AutoGraph, which these layers have no need of, would take half a minute."""
    tf.autograph.experimental.do_not_convert(model.save)(folder)


def _save_plain(model: tf_keras.Model, folder: Path) -> None:
    """SavedModels without layers: signatures for any number of examples, and for one."""
    module = tf.Module()
    module.variables_of_it = model.variables
    spec = tf.TensorSpec([None, 4], tf.float32, "x")
    scores = tf.function(lambda x: {"scores": model(x)}, autograph=False)
    both = tf.function(lambda x: {"scores": model(x), "twice": 2 * model(x)}, autograph=False)
    any_number, only_scores = both.get_concrete_function(x=spec), scores.get_concrete_function(x=spec)
    alone = tf.function(lambda x: {"scores": model(x)}, autograph=False)
    one = alone.get_concrete_function(x=tf.TensorSpec([1, 4], tf.float32, "x"))
    signatures = {"serving_default": only_scores, "both": any_number, "one": one}
    tf.saved_model.save(module, str(folder / "plain"), signatures=signatures)


def _damage(folder: Path) -> None:
    for name in ("model.keras", "model.h5", "model.weights.h5"):
        content = (folder / name).read_bytes()
        (folder / f"truncated.{name.partition('.')[2]}").write_bytes(content[: len(content) * 3 // 4])
    shutil.copytree(folder / "model", folder / "truncated")
    (folder / "truncated/saved_model.pb").write_bytes((folder / "model/saved_model.pb").read_bytes()[:2000])
    shutil.copytree(folder / "model", folder / "no_variables")
    (folder / "no_variables/variables/variables.index").unlink()
