"""A line to be fitted, by a model of two weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from components.common.base.step_options import Training
from components.common.data.arrays import Arrays
from components.common.training import fitting, history

layers = tf_keras.layers


def line(count: int = 64) -> Arrays:
    """Points on y = 2x."""
    x = np.linspace(-1, 1, count, dtype=np.float32)[:, np.newaxis]
    return Arrays({"x": x}, 2 * x[:, 0])


def model_of(**compiled: object) -> tf_keras.Model:
    model = tf_keras.Sequential([layers.Input((1,), name="x"), layers.Dense(1, name="y")])
    if compiled:
        model.compile(**compiled)
    return model


def fit(
    folder: Path, model: tf_keras.Model, *splits: Arrays, seed: int = 1, **more: Any
) -> history.History:
    """Trains on a line by 64 points in batches of 8, unless `more` says otherwise."""
    given = {"callbacks", "first_epoch_to_stop", "or_as_before"} & set(more)
    arguments = {name: more.pop(name) for name in given}
    options = Training(**{"batch_size": 8, **({} if "steps" in more else {"epochs": 3}), **more})
    train, evaluation = splits or (line(), line(16))
    return fitting.fit(
        model, train, evaluation, options=options, seed=seed, log_dir=str(folder), **arguments
    )


def curves(folder: Path) -> dict[str, list[float]]:
    """Tag → its value at each epoch, from the event files of a folder."""
    found = EventAccumulator(str(folder)).Reload()
    return {
        tag: [float(tf.make_ndarray(event.tensor_proto)) for event in found.Tensors(tag)]
        for tag in found.Tags()["tensors"]
    }
