"""The learning rate of each step, by a schedule of the options or by one of the user's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from components.common.base.step_options import LearningRateSchedule
from components.common.training import error, learning_rate
from tests.components.common.training.line import curves, fit, model_of


def expected_rate(kind: str, warmup: int, end: float, base: float, steps: int) -> np.ndarray:
    """Learning rate at each step, by the formulas of the schedules."""
    i = np.arange(steps, dtype=np.float64)
    share = np.maximum(i - warmup, 0) / (steps - warmup)
    falling = {
        "constant": np.ones(steps),
        "linear": 1 - (1 - end) * share,
        "cosine": end + (1 - end) * (1 + np.cos(np.pi * share)) / 2,
        "exponential": end**share,
    }[kind]
    return base * np.where(i < warmup, (i + 1) / (warmup + 1), falling)


@pytest.mark.parametrize(
    ("kind", "warmup", "end"),
    [
        ("constant", 0.3, 0.0),
        ("linear", 0.0, 0.0),
        ("linear", 0.25, 0.1),
        ("cosine", 0.0, 0.2),
        ("cosine", 0.1, 0.0),
        ("exponential", 0.0, 0.01),
        ("exponential", 0.5, 0.1),
    ],
)
def test_the_learning_rate_of_each_step_is_the_formulas(kind: str, warmup: float, end: float) -> None:
    asked = LearningRateSchedule(kind=kind, warmup=warmup, end=end)
    schedule = learning_rate.schedule_of(asked, 0.4, 40)

    got = np.array([float(schedule(step)) for step in range(40)])
    np.testing.assert_allclose(
        got, expected_rate(kind, int(40 * warmup), end, 0.4, 40), rtol=1e-5, atol=1e-8
    )
    assert np.all(got > 0)
    again = type(schedule).from_config(schedule.get_config())
    assert [float(again(step)) for step in range(40)] == got.tolist()


def test_a_constant_learning_rate_is_not_a_schedule() -> None:
    assert learning_rate.schedule_of(LearningRateSchedule(), 0.4, 40) is None


@pytest.mark.parametrize("kind", [tf_keras.optimizers.SGD, tf_keras.optimizers.legacy.SGD])
def test_the_optimizer_goes_by_the_schedule(kind: type, tmp_path: Path) -> None:
    """With a gradient of 1, the bias moves by the learning rate."""
    biases: list[float] = []

    class Watch(tf_keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            biases.append(float(self.model.get_weights()[1][0]))

    model = model_of(optimizer=kind(0.25), loss=lambda labels, outputs: tf.reduce_mean(outputs))
    asked = {"kind": "cosine", "warmup": 0.2, "end": 0.1}
    history = fit(tmp_path, model, steps=20, learning_rate_schedule=asked, callbacks=[Watch()])

    moves = -np.diff([0.0, *biases])
    wanted = expected_rate("cosine", 4, 0.1, 0.25, 21)
    wanted[:20] = expected_rate("cosine", 4, 0.1, 0.25, 20)
    np.testing.assert_allclose(moves, wanted[:20], rtol=1e-3)
    # The curve has what the next step would take: after 8, 16 and all 20 steps.
    rates = curves(tmp_path / "train")["epoch_learning_rate"]
    np.testing.assert_allclose(rates, [wanted[8], wanted[16], 0.025], rtol=1e-4)
    assert history.learning_rates == rates


def test_a_schedule_of_the_users_own_stays_and_is_not_replaced(tmp_path: Path) -> None:
    own = tf_keras.optimizers.schedules.ExponentialDecay(0.5, 8, 0.5)
    model = model_of(optimizer=tf_keras.optimizers.SGD(own), loss="mse")
    with pytest.raises(error.TrainingError) as raised:
        fit(tmp_path, model, learning_rate_schedule={"kind": "linear"})
    assert str(raised.value) == (
        "build_model compiles with its own learning rate schedule; write learning_rate "
        "too, or leave learning_rate_schedule out"
    )
    assert int(model.optimizer.iterations) == 0

    fit(tmp_path, model, learning_rate_schedule={"kind": "constant", "warmup": 0.0, "end": 0.0})
    assert curves(tmp_path / "train")["epoch_learning_rate"] == pytest.approx([0.25, 0.125, 0.0625])
