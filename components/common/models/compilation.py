"""Compiling a model as another one is compiled."""

from __future__ import annotations

import inspect
from typing import Any

import tf_keras

from components.common.base.layer_names import plain_name
from components.common.models import precision


def compile_like(
    model: tf_keras.Model,
    reference: tf_keras.Model,
    learning_rate: float | tf_keras.optimizers.schedules.LearningRateSchedule | None = None,
    **changes: Any,
) -> None:
    """Compiles a model with another's loss, metrics and kind of optimizer, in a fresh state.

    Args:
        model: Has outputs as `reference` has.
        reference: Compiled; may be `model` itself.
        learning_rate: Learning rate of the new optimizer; the reference's, with its schedule from the beginning, if
            None.
        **changes: Arguments of `compile` in place of the reference's.
    """
    rate = learning_rate if learning_rate is not None else learning_rate_of(reference)
    kind, config = _as_built_today(precision.plain_optimizer(reference.optimizer))
    optimizer = kind.from_config({**config, "learning_rate": rate})
    # The objects themselves: a loss or metric of the user's own need not be serializable.
    arguments = {**reference._compile_config.config, **changes}
    for name, value in arguments.items():
        if isinstance(value, dict):  # TFMOT's wrappers rename the outputs that these go by
            ordered = [value.get(output) for output in _outputs_as_named_by(reference, model)]
            arguments[name] = ordered if len(ordered) > 1 else ordered[0]
    model.compile(**{**arguments, "optimizer": optimizer})
    if model.built and isinstance(optimizer, tf_keras.optimizers.Optimizer):
        optimizer.build(model.trainable_variables)


def _as_built_today(optimizer: Any) -> tuple[Any, dict[str, Any]]:
    """Class and config of an optimizer; of one of `tf_keras.optimizers.legacy`, those of its successor.

    Older files have legacy ones, which have one learning rate for all layers and cannot freeze some.
    """
    config = optimizer.get_config()
    legacy = tf_keras.optimizers.legacy
    name = type(optimizer).__name__
    if type(optimizer) is not getattr(legacy, name, None) or not hasattr(tf_keras.optimizers, name):
        return type(optimizer), config
    kind = getattr(tf_keras.optimizers, name)
    taken = inspect.signature(kind.__init__).parameters
    return kind, {key: value for key, value in config.items() if key in taken}


def learning_rate_of(
    model: tf_keras.Model,
) -> float | tf_keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate that a model is compiled with, or a fresh copy of its schedule."""
    config = precision.plain_optimizer(model.optimizer).get_config()
    rate, schedules = config["learning_rate"], tf_keras.optimizers.schedules
    if isinstance(rate, dict):
        return schedules.deserialize(rate)
    decay = float(config.get("decay") or 0)  # of legacy optimizers
    return schedules.InverseTimeDecay(float(rate), 1, decay) if decay else float(rate)


def recompile(model: tf_keras.Model, **changes: Any) -> None:
    """Compiles a model as it is compiled, with the same optimizer.

    Keras trains by the `trainable` that layers had when the model was compiled: what is set later counts only
    from the next time on.

    Args:
        model: Compiled.
        **changes: Arguments of `compile` in place of those that it was compiled with.
    """
    model.compile(**{**model._compile_config.config, "optimizer": model.optimizer, **changes})


def _outputs_as_named_by(reference: tf_keras.Model, model: tf_keras.Model) -> list[str]:
    """The reference's names of a model's outputs, in the order that the model has them."""
    names = list(reference.output_names)
    return names if len(names) == 1 else [plain_name(name) for name in model.output_names]
