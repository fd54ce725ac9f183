"""The learning rate of a training: its schedules, and what it is at a step."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
import tf_keras

from components.common.base.step_options import LearningRateSchedule
from components.common.models import compilation, precision
from components.common.training.error import TrainingError


class WarmUp(tf_keras.optimizers.schedules.LearningRateSchedule):
    """A schedule after a linear rise: at step i of n it is (i + 1) / (n + 1) of the schedule's beginning.

    Goyal et al., "Accurate, Large Minibatch SGD" (2017), https://arxiv.org/abs/1706.02677. It begins above
    zero, as a step with a learning rate of zero would be wasted.

    Args:
        schedule: What follows; its own steps begin at 0 after the rise.
        steps: Length of the rise.
    """

    def __init__(self, schedule: tf_keras.optimizers.schedules.LearningRateSchedule, steps: int):
        super().__init__()
        self._schedule = schedule
        self._steps = steps

    def __call__(self, step: Any) -> tf.Tensor:
        """The learning rate at a step, from 0."""
        share = (tf.cast(step, tf.float32) + 1.0) / (self._steps + 1.0)
        return tf.minimum(share, 1.0) * self._schedule(tf.maximum(step - self._steps, 0))

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {
            "schedule": tf_keras.optimizers.schedules.serialize(self._schedule),
            "steps": self._steps,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> WarmUp:
        """The schedule of a config that `get_config` made."""
        schedule = tf_keras.optimizers.schedules.deserialize(config["schedule"])
        return cls(schedule, config["steps"])


def schedule_of(
    asked: LearningRateSchedule, learning_rate: float, steps: int
) -> tf_keras.optimizers.schedules.LearningRateSchedule | None:
    """The schedule for a training of a number of steps; None if the learning rate is constant.

    Args:
        asked: The option.
        learning_rate: What the schedule rises to and falls from.
        steps: Steps of the whole training, those of the rise among them.
    """
    if asked.kind == "constant" and not asked.warmup:
        return None
    schedules = tf_keras.optimizers.schedules
    rise = math.floor(asked.warmup * steps)
    fall = max(1, steps - rise)
    if asked.kind == "cosine":
        schedule = schedules.CosineDecay(learning_rate, fall, alpha=asked.end)
    elif asked.kind == "exponential":
        schedule = schedules.ExponentialDecay(learning_rate, fall, decay_rate=asked.end)
    else:
        end = 1.0 if asked.kind == "constant" else asked.end
        schedule = schedules.PolynomialDecay(learning_rate, fall, end_learning_rate=end * learning_rate)
    return WarmUp(schedule, rise) if rise else schedule


def schedule_learning_rate(model: tf_keras.Model, asked: LearningRateSchedule, steps: int) -> None:
    """Gives a compiled model's optimizer the schedule that was asked for.

    Raises:
        TrainingError: If it has one already, so that there is no learning rate to begin with.
    """
    if asked == LearningRateSchedule():
        return
    optimizer = precision.plain_optimizer(model.optimizer)
    if isinstance(optimizer.get_config().get("learning_rate"), dict):
        raise TrainingError(
            "build_model compiles with its own learning rate schedule; write learning_rate too, or leave "
            "learning_rate_schedule out"
        )
    schedule = schedule_of(asked, float(tf.convert_to_tensor(optimizer.learning_rate)), steps)
    if schedule is not None:
        compilation.compile_like(model, model, schedule)


def next_learning_rate(optimizer: Any) -> float:
    """The next step's learning rate, as Keras computes it too."""
    optimizer = precision.plain_optimizer(optimizer)
    # With a schedule, learning_rate is what the last step took; of a legacy optimizer, the schedule.
    rate = getattr(optimizer, "_learning_rate", optimizer.learning_rate)
    if isinstance(rate, tf_keras.optimizers.schedules.LearningRateSchedule):
        rate = rate(optimizer.iterations)
    return float(tf.convert_to_tensor(rate))
