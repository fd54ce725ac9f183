"""Compiling a model like another: loss, metrics and optimizer, and a learning rate of its own."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras

from components.common.models import compilation
from components.common.models.user_module import build
from tests.components.common.training.line import layers, line, model_of
from tests.components.conftest import MakeModule


def test_compiling_takes_loss_metrics_and_optimizer_but_not_the_learning_rate() -> None:
    reference = model_of(
        optimizer=tf_keras.optimizers.SGD(0.5, momentum=0.9, nesterov=True),
        loss=tf_keras.losses.Huber(delta=0.25),
        metrics=["mae", tf_keras.metrics.MeanSquaredError(name="squares")],
    )
    model = model_of()
    compilation.compile_like(model, reference, 0.01)
    arrays = line()
    for each in (model, reference):
        each.set_weights([np.array([[1.0]]), np.array([0.5])])
        each.run_eagerly = True  # AutoGraph would take 20 s here
    values = model.evaluate(arrays.features["x"], arrays.labels, verbose=0, return_dict=True)

    assert isinstance(model.optimizer, tf_keras.optimizers.SGD)
    assert model.optimizer is not reference.optimizer
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
    assert float(reference.optimizer.learning_rate) == pytest.approx(0.5)
    assert model.optimizer.momentum == 0.9 and model.optimizer.nesterov is True
    assert values == reference.evaluate(arrays.features["x"], arrays.labels, verbose=0, return_dict=True)
    error = np.abs(arrays.features["x"][:, 0] + 0.5 - arrays.labels)
    huber = np.where(error <= 0.25, error**2 / 2, 0.25 * (error - 0.125)).mean()
    assert values == pytest.approx(
        {"loss": huber, "mae": error.mean(), "squares": (error**2).mean()}, rel=1e-5
    )


def test_a_schedule_gives_way_to_the_learning_rate() -> None:
    schedule = tf_keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.9)
    reference = model_of(optimizer=tf_keras.optimizers.Adam(schedule, beta_1=0.8), loss="mse")
    model = model_of()
    compilation.compile_like(model, reference, 0.02)

    assert float(model.optimizer.learning_rate) == pytest.approx(0.02)
    assert model.optimizer.beta_1 == 0.8


CUSTOM_LOSS = """
import tensorflow as tf
import tf_keras

def quartic(labels, outputs):
    return tf.reduce_mean((labels - outputs) ** 4, axis=-1)

def worst(labels, outputs):
    return tf.reduce_max(tf.abs(labels - outputs), axis=-1)

class Power(tf_keras.losses.Loss):
    def __init__(self, power):
        super().__init__()
        self.power = power
    def call(self, labels, outputs):
        return tf.reduce_mean((labels - outputs) ** self.power, axis=-1)

def build_model(hparams):
    model = tf_keras.Sequential([tf_keras.layers.Input((1,), name="x"), tf_keras.layers.Dense(1)])
    model.compile("adam", Power(4) if hparams["object"] else quartic, metrics=[worst])
    return model
"""


@pytest.mark.parametrize("as_object", [False, True], ids=["function", "object"])
def test_losses_and_metrics_of_the_users_own_are_taken_over(
    make_module: MakeModule, as_object: bool
) -> None:
    reference = build(make_module(CUSTOM_LOSS), "build_model", {"object": as_object})
    model = model_of()
    compilation.compile_like(model, reference, 0.01)
    model.set_weights([np.array([[0.0]]), np.array([1.0])])
    model.run_eagerly = True
    values = model.evaluate(np.ones((1, 1)), np.array([[3.0]]), verbose=0, return_dict=True)

    assert values == pytest.approx({"loss": 16.0, "worst": 2.0})


def test_losses_by_name_of_an_output_reach_an_output_of_another_name() -> None:
    reference = model_of(
        optimizer="sgd", loss={"y": "mae"}, metrics={"y": ["mse"]}, loss_weights={"y": 3.0}
    )
    model = tf_keras.Sequential([layers.Input((1,), name="x"), layers.Dense(1, name="quant_y")])
    compilation.compile_like(model, reference, 0.01)
    model.set_weights([np.array([[0.0]]), np.array([1.0])])
    model.run_eagerly = True
    values = model.evaluate(np.ones((1, 1)), np.array([[3.0]]), verbose=0, return_dict=True)

    assert values == pytest.approx({"loss": 6.0, "mse": 4.0})
