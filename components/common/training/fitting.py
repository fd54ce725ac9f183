"""Training a compiled model, so that it can be repeated."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence

import tensorflow as tf
import tf_keras

from components.common.base.step_options import EarlyStopping, Training
from components.common.data import label_range, one_hot
from components.common.data.arrays import Arrays
from components.common.data.column import Values
from components.common.models import compilation, strategy
from components.common.models.output_kind import losses_of
from components.common.models.stock_layers import without_autograph
from components.common.training import fit_inputs
from components.common.training.callbacks import (
    LearningCurves,
    StepCounter,
    early_stopping,
)
from components.common.training.epoch_progress import EpochProgress
from components.common.training.error import TrainingError
from components.common.training.history import History
from components.common.training.learning_rate import schedule_learning_rate
from components.common.training.seeding import seed_everything


def steps_per_epoch(options: Training, examples: int) -> int:
    """Steps of the optimizer in one pass over a number of examples; the last one may have fewer of them."""
    return math.ceil(examples / options.examples_per_step())


def total_steps(options: Training, examples: int) -> int:
    """Steps of the optimizer in a whole training on a number of examples."""
    per_epoch = steps_per_epoch(options, examples)
    return options.steps or options.passes(per_epoch) * per_epoch


def _step_by_step(model: tf_keras.Model) -> None:
    """Compiles a model again if its `steps_per_execution` would hide steps from callbacks.

    They count steps, and renew masks of weights after each one.
    """
    if model._compile_config.config.get("steps_per_execution") not in (None, 1):
        compilation.recompile(model, steps_per_execution=None)


def refuse_unknown_monitor(model: tf_keras.Model, monitor: str, evaluation: Arrays) -> None:
    """Raises a TrainingError if a compiled model has no metric of this name; Keras would only warn."""
    some = evaluation.take(range(min(strategy.replicas(), len(evaluation))))
    arguments = fit_inputs.evaluation_arguments(some, model.output_names)
    measured = model.evaluate(**arguments, verbose=0, return_dict=True)
    known = [f"val_{name}" for name in measured]
    if monitor not in known:
        raise TrainingError(
            f"early_stopping: monitor {monitor!r} is not a metric that build_model compiles with; write one "
            f"of {', '.join(known)}"
        )


def refuse_labels(model: tf_keras.Model, labels: Mapping[str, Values | Sequence[Values]]) -> None:
    """Refuses labels that a compiled model cannot learn.

    Args:
        model: The model.
        labels: Split → its labels; a list of them in the order of a model's outputs.

    Raises:
        ExamplesError: Naming a label.
    """
    if not model.outputs:  # the Distiller, whose teacher has learned of the same labels
        return
    for split, found in labels.items():
        arrays = found if isinstance(found, list) else [found]
        for loss, tensor, values in zip(losses_of(model), model.outputs, arrays, strict=True):
            if loss is not None:
                label_range.refuse_outside(loss, tensor.shape[-1], values, split)


def as_losses_take(model: tf_keras.Model, split: Arrays, name: str) -> Arrays:
    """Examples with labels as a compiled model's losses take them; see `one_hot.as_losses_take`."""
    shapes = [tuple(tensor.shape[1:]) for tensor in model.outputs]
    return one_hot.as_losses_take(split, model.output_names, shapes, losses_of(model), name)


def fit(
    model: tf_keras.Model,
    train: Arrays,
    evaluation: Arrays,
    options: Training,
    seed: int,
    log_dir: str,
    callbacks: Sequence[tf_keras.callbacks.Callback] = (),
    first_epoch_to_stop: int = 0,
    or_as_before: bool = False,
) -> History:
    """Trains a compiled model.

    Args:
        model: Takes the features in the order of `train.features`.
        train: Examples to train on, weighed by their classes if they say so; shuffled again for each epoch.
        evaluation: Examples to measure after each epoch.
        options: How long, in which batches, at which learning rates, and when to end early.
        seed: Seed of shuffling and dropout: they do not depend on what this process did before.
        log_dir: Gets the learning curves, in TensorBoard's format.
        callbacks: Further Keras callbacks. Early stopping keeps the weights as these leave them at the end
            of an epoch.
        first_epoch_to_stop: Index of the first epoch that early stopping looks at: a model is not finished
            before a schedule of the step's own (of sparsity, say) has ended.
        or_as_before: Whether the model gets the weights back that it began with if they are better on the eval
            examples than the trained ones: by the loss, or by what early stopping goes by.

    Returns:
        The metrics of each epoch.

    Raises:
        TrainingError: If the loss is not finite, or the options do not fit the compiled model.
        ExamplesError: If there are labels that the model has no output for.
    """
    if model.outputs:  # not of the Distiller, whose student is asked by itself
        train, evaluation = (
            as_losses_take(model, split, name) for split, name in ((train, "train"), (evaluation, "eval"))
        )
    taught, asked_of = (split.labels_of(model.output_names) for split in (train, evaluation))
    refuse_labels(model, {"train": taught, "eval": asked_of})
    model.train_step = without_autograph(model.train_step, model)
    model.test_step = without_autograph(model.test_step, model)
    steps = total_steps(options, len(train))
    epochs = math.ceil(steps / steps_per_epoch(options, len(train)))
    if options.early_stopping is not None:
        refuse_unknown_monitor(model, options.early_stopping.monitor, evaluation)
    schedule_learning_rate(model, options.learning_rate_schedule, steps)
    _step_by_step(model)
    counter, drawn, stopping = StepCounter(steps), LearningCurves(log_dir), None
    passes = steps / steps_per_epoch(options, len(train))
    reported = EpochProgress(epochs, passes, batches_have_logs=not strategy.asynchronous())
    if strategy.asynchronous():
        # Keras takes no callback that needs the results of a batch; this one only counts.
        counter._supports_tf_logs = True
    if options.early_stopping is not None:
        stopping = early_stopping(options.early_stopping, first_epoch_to_stop)
    os.makedirs(log_dir, exist_ok=True)
    # With parameter servers nothing is measured but at the end of an epoch.
    before = _Before(model, evaluation, options) if or_as_before and not strategy.asynchronous() else None
    _make_variables(model, evaluation)
    seed_everything(seed)
    history = model.fit(
        **fit_inputs.fit_arguments(
            train,
            evaluation,
            model.output_names,
            options.examples_per_step(),
            seed,
            steps_per_epoch(options, len(train)),
        ),
        epochs=epochs,
        verbose=0,
        callbacks=[
            *callbacks,
            *fit_inputs.callbacks(),
            counter,
            *([stopping] if stopping else []),
            drawn,
            reported,
        ],
    )
    kept = len(history.epoch) - 1
    if stopping and stopping.restore_best_weights and stopping.best_weights is not None:
        kept = stopping.best_epoch
    if before is not None and before.is_better(history.history, kept):
        before.restore(model)
        kept = -1
    start = before.measured if before is not None else None
    return History(history.history, counter.taken, kept, drawn.learning_rates, start)


def _make_variables(model: tf_keras.Model, evaluation: Arrays) -> None:
    """Makes the variables of the optimizer and the metrics.

    A first step that makes them is traced twice, which takes as long as hundreds of steps of a small model:
    https://www.tensorflow.org/guide/function#creating_tfvariables.
    """
    if strategy.in_scope():
        return
    arguments = fit_inputs.evaluation_arguments(evaluation.take(range(1)), model.output_names)
    model.test_step(tf.nest.map_structure(tf.convert_to_tensor, (arguments["x"], arguments["y"])))
    model.reset_metrics()
    if hasattr(model.optimizer, "build"):  # not of tf_keras.optimizers.legacy
        model.optimizer.build(model.trainable_variables)


class _Before:
    """A model as it is before training.

    Attributes:
        measured: `val_` and a metric → its value on the eval examples.
    """

    def __init__(self, model: tf_keras.Model, evaluation: Arrays, options: Training):
        arguments = fit_inputs.evaluation_arguments(
            evaluation, model.output_names, options.examples_per_step()
        )
        found = model.evaluate(**arguments, verbose=0, return_dict=True)
        self.measured = {f"val_{name}": float(value) for name, value in found.items()}
        self._weights = model.get_weights()
        self._asked = options.early_stopping or EarlyStopping()

    def is_better(self, curves: Mapping[str, Sequence[float]], epoch: int) -> bool:
        """Whether it is better than the model of an epoch."""
        here, there = self.measured[self._asked.monitor], curves[self._asked.monitor][epoch]
        return here > there if self._asked.ascending() else here < there

    def restore(self, model: tf_keras.Model) -> None:
        """Gives the model its weights back."""
        model.set_weights(self._weights)
