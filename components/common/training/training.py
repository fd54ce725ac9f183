"""Training that can be repeated, and that says how far it is."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from components.common.base import json_file, progress
from components.common.base.step_options import EarlyStopping, LearningRateSchedule
from components.common.data import label_range
from components.common.data.examples import Arrays
from components.common.models import compilation, precision, strategy
from components.common.models.output_kind import losses_of
from components.common.models.stock_layers import without_autograph
from components.common.training import fit_inputs
from components.common.training.learning_rate import schedule_of

HISTORY_FILE = "history.json"


class TrainingError(Exception):
    """Training did not give a usable model."""


class History(dict[str, list[float]]):
    """Metric → its value after each epoch; `val_` stands before those on the eval split.

    Attributes:
        steps: Steps that the optimizer took.
        kept: Index of the epoch whose weights the model has now: the last one, or the best one where early
            stopping took that.
        learning_rates: After each epoch: what the next step would take.
    """

    def __init__(
        self,
        curves: Mapping[str, Sequence[float]],
        steps: int,
        kept: int,
        learning_rates: Sequence[float],
    ):
        super().__init__({name: [float(value) for value in values] for name, values in curves.items()})
        self.steps = steps
        self.kept = kept
        self.learning_rates = list(learning_rates)

    def facts(self) -> dict[str, int | float]:
        """Epochs and steps that were trained, the epoch that was kept (from 1), and its metrics."""
        return {
            "trained_epochs": len(self["loss"]),
            "trained_steps": self.steps,
            "kept_epoch": self.kept + 1,
            **{f"final_{name}": values[self.kept] for name, values in self.items()},
        }

    def write(self, uri: str) -> None:
        """Writes history.json into an artifact's folder: metrics and learning rate of each epoch, from 1."""
        epochs = [
            {
                **{name: values[index] for name, values in self.items()},
                "learning_rate": learning_rate,
                "epoch": index + 1,
            }
            for index, learning_rate in enumerate(self.learning_rates)
        ]
        json_file.write(os.path.join(uri, HISTORY_FILE), {"epochs": epochs, "kept_epoch": self.kept + 1})


def seed_of(options: Mapping[str, Any], run_seed: int | str) -> int:
    """The seed that a step's options write, or that of the run."""
    own = options.get("seed")
    return int(run_seed if own is None else own)


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and TensorFlow, and makes TensorFlow's operations deterministic."""
    tf_keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def steps_per_epoch(options: Mapping[str, Any], examples: int) -> int:
    """Steps of the optimizer in one pass over so many examples; the last one may have fewer of them."""
    return math.ceil(examples / options["batch_size"])


def total_steps(options: Mapping[str, Any], examples: int) -> int:
    """Steps of the optimizer in a whole training on so many examples."""
    return options.get("steps") or options["epochs"] * steps_per_epoch(options, examples)


class _Steps(tf_keras.callbacks.Callback):
    """Ends training after a number of steps, be it within an epoch."""

    def __init__(self, total: int):
        super().__init__()
        self.taken = 0
        self._total = total
        self._before = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._before = self.taken

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.taken = self._before + batch + 1
        if self.taken >= self._total:
            self.model.stop_training = True


class _Progress(tf_keras.callbacks.Callback):
    """Reports epochs, and stops a training whose loss is no number."""

    def __init__(self, epochs: int):
        super().__init__()
        self._epochs = epochs
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch + 1
        progress.report(f"epoch {self._epoch}/{self._epochs}")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        steps = self.params.get("steps") or 0
        if steps and (batch + 1) % max(1, steps // 20) == 0:
            progress.report(f"epoch {self._epoch}/{self._epochs}, {100 * (batch + 1) // steps} %")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is not None and not np.isfinite(loss):
            raise TrainingError(
                f"the training loss became {loss} in epoch {epoch + 1}; lower the learning rate, or look "
                "for features that are not scaled"
            )


class _Curves(tf_keras.callbacks.TensorBoard):
    """Writes the metrics of each epoch, and its learning rate: Keras does so only where it has a schedule."""

    def __init__(self, log_dir: str):
        super().__init__(log_dir, write_graph=False)
        self.learning_rates: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        rate = _next_learning_rate(self.model.optimizer)
        self.learning_rates.append(rate)
        super().on_epoch_end(epoch, {**(logs or {}), "learning_rate": rate})


def _next_learning_rate(optimizer: Any) -> float:
    """What the next step would take, as Keras draws it too."""
    optimizer = precision.plain_optimizer(optimizer)
    # With a schedule, learning_rate is what the last step took; of a legacy optimizer, the schedule.
    rate = getattr(optimizer, "_learning_rate", optimizer.learning_rate)
    if isinstance(rate, tf_keras.optimizers.schedules.LearningRateSchedule):
        rate = rate(optimizer.iterations)
    return float(tf.convert_to_tensor(rate))


def _schedule_learning_rate(model: tf_keras.Model, asked: LearningRateSchedule, steps: int) -> None:
    """Gives a compiled model's optimizer the schedule that was asked for.

    Raises:
        TrainingError: Where it has one already, so that there is no learning rate to begin with.
    """
    if asked == LearningRateSchedule():
        return
    optimizer = precision.plain_optimizer(model.optimizer)
    if isinstance(optimizer.get_config().get("learning_rate"), dict):
        raise TrainingError(
            "build_model compiles with a learning rate schedule of its own; write learning_rate, for "
            "learning_rate_schedule to go by, or leave learning_rate_schedule out"
        )
    schedule = schedule_of(asked, float(tf.convert_to_tensor(optimizer.learning_rate)), steps)
    if schedule is not None:
        compilation.compile_like(model, model, schedule)


def _step_by_step(model: tf_keras.Model) -> None:
    """Compiles a model anew where its `steps_per_execution` would hide steps from callbacks.

    They count steps, and renew masks of weights after each one.
    """
    if model._compile_config.config.get("steps_per_execution") not in (None, 1):
        compilation.compile_anew(model, steps_per_execution=None)


def early_stopping(asked: EarlyStopping, first_epoch_to_stop: int) -> tf_keras.callbacks.EarlyStopping:
    """The callback that an option asks for.

    Args:
        asked: The option.
        first_epoch_to_stop: Index of the first epoch to be compared with later ones.
    """
    return tf_keras.callbacks.EarlyStopping(
        monitor=asked.monitor,
        min_delta=asked.min_delta,
        patience=asked.patience,
        mode="max" if asked.ascending() else "min",
        restore_best_weights=asked.restore_best,
        start_from_epoch=first_epoch_to_stop,
    )


def refuse_unknown_monitor(model: tf_keras.Model, monitor: str, evaluation: Arrays) -> None:
    """Raises a TrainingError where a compiled model has no metric of this name; Keras would only warn."""
    some = evaluation.take(range(min(strategy.replicas(), len(evaluation))))
    arguments = fit_inputs.evaluation_arguments(some, model.output_names)
    measured = model.evaluate(**arguments, verbose=0, return_dict=True)
    known = [f"val_{name}" for name in measured]
    if monitor not in known:
        raise TrainingError(
            f"early_stopping: monitor {monitor!r} is no metric that build_model compiles with; write one "
            f"of {', '.join(known)}"
        )


def refuse_labels(model: tf_keras.Model, labels: Mapping[str, np.ndarray | Sequence[np.ndarray]]) -> None:
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


def fit(
    model: tf_keras.Model,
    train: Arrays,
    evaluation: Arrays,
    options: Mapping[str, Any],
    seed: int,
    log_dir: str,
    callbacks: Sequence[tf_keras.callbacks.Callback] = (),
    first_epoch_to_stop: int = 0,
) -> History:
    """Trains a compiled model.

    Args:
        model: Takes the features in the order of `train.features`.
        train: Examples to train on, weighed by their classes where they say so; shuffled anew for each epoch.
        evaluation: Examples to measure after each epoch.
        options: As in `components.common.base.step_options.Training`: `batch_size`, `epochs` or `steps`, and
            optionally `learning_rate_schedule` and `early_stopping`.
        seed: Of shuffling and dropout: they do not depend on what this process did before.
        log_dir: Gets the learning curves, in TensorBoard's format.
        callbacks: Further Keras callbacks. Early stopping keeps the weights as these leave them at the end
            of an epoch.
        first_epoch_to_stop: Index of the first epoch that early stopping looks at: a model is not finished
            before a schedule of the step's own (of sparsity, say) has ended.

    Returns:
        The metrics of each epoch.

    Raises:
        TrainingError: Where the loss is not finite, or the options do not go with what build_model compiles.
        ExamplesError: Where there are labels that the model has no output for.
    """
    taught, asked_of = (split.labels_of(model.output_names) for split in (train, evaluation))
    refuse_labels(model, {"train": taught, "eval": asked_of})
    model.train_step = without_autograph(model.train_step, model)
    model.test_step = without_autograph(model.test_step, model)
    steps = total_steps(options, len(train))
    epochs = math.ceil(steps / steps_per_epoch(options, len(train)))
    if options.get("early_stopping") is not None:
        asked_stop = EarlyStopping.model_validate(options["early_stopping"])
        refuse_unknown_monitor(model, asked_stop.monitor, evaluation)
    asked = LearningRateSchedule.model_validate(options.get("learning_rate_schedule") or {})
    _schedule_learning_rate(model, asked, steps)
    _step_by_step(model)
    counter, drawn, stopping = _Steps(steps), _Curves(log_dir), None
    reported = _Progress(epochs)
    if strategy.asynchronous():
        # Keras takes no callback that has to see what a batch came to; these only count.
        counter._supports_tf_logs = reported._supports_tf_logs = True
    if options.get("early_stopping") is not None:
        stopping = early_stopping(asked_stop, first_epoch_to_stop)
    os.makedirs(log_dir, exist_ok=True)
    seed_everything(seed)
    history = model.fit(
        **fit_inputs.fit_arguments(
            train,
            evaluation,
            model.output_names,
            options["batch_size"],
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
    return History(history.history, counter.taken, kept, drawn.learning_rates)
