"""Compiling a model as another one is compiled."""

from __future__ import annotations

from typing import Any

import tf_keras

from components.common.base.layer_names import plain_name
from components.common.models import precision


def compile_like(
    model: tf_keras.Model,
    reference: tf_keras.Model,
    learning_rate: float | tf_keras.optimizers.schedules.LearningRateSchedule,
) -> None:
    """Compiles a model with another's loss, metrics and kind of optimizer, in a fresh state.

    Args:
        model: Has outputs as `reference` has.
        reference: Compiled; may be `model` itself.
        learning_rate: Of the new optimizer, in place of the reference's.
    """
    own = precision.plain_optimizer(reference.optimizer)
    optimizer = type(own).from_config({**own.get_config(), "learning_rate": learning_rate})
    # The objects themselves: a loss or metric of the user's own need not be serializable.
    arguments = dict(reference._compile_config.config)
    for name, value in arguments.items():
        if isinstance(value, dict):  # TFMOT's wrappers rename the outputs that these go by
            ordered = [value.get(output) for output in _outputs_as_named_by(reference, model)]
            arguments[name] = ordered if len(ordered) > 1 else ordered[0]
    model.compile(**{**arguments, "optimizer": optimizer})
    if model.built and isinstance(optimizer, tf_keras.optimizers.Optimizer):
        optimizer.build(model.trainable_variables)


def compile_anew(model: tf_keras.Model, **changes: Any) -> None:
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
