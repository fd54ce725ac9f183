"""Shared code of the steps that continue training with a wrapped model."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import tf_keras

from components.common.base import activation_ranges
from components.common.base.calibration import Calibration
from components.common.base.step_options import ON_CLIENTS, TrainingOptions, TuningOptions
from components.common.data import class_weights
from components.common.data.arrays import Arrays
from components.common.models import (
    compilation,
    invariants,
    layer_weights,
    model_files,
    strategy,
)
from components.common.models.freezing import Frozen, layers_matching
from components.common.models.invariants import Asked
from components.common.models.model_files import Facts, StepRecord
from components.common.steps.step_executor import StepJob
from components.common.tfmot import calibration, normalization
from components.common.training import fit_inputs, fitting, mixtures, self_teaching
from components.common.training.history import History

# Eval examples that clipped values are counted on, at most.
_MEASURED = 1000

Trained = TypeVar("Trained", bound=TrainingOptions)


class Preserve(tf_keras.callbacks.Callback):
    """Restores, after each batch, the invariants of earlier steps: zeros, or weights that share a value.

    Optimizers move every weight by itself. TFMOT's own schemes mask or cluster a kernel when it is used, and let
    the variable underneath, which a later step loads, drift away; its cluster-preserving one also turns to
    clusters per channel by itself.
    """

    def __init__(self, layers: Asked):
        super().__init__()
        self._layers = layers
        # With parameter servers Keras takes no callback that has to see batches, as this one then need not.
        self._supports_tf_logs = not layers
        self._kept: list[tuple[Any, list[Callable[[Any], Any]]]] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._kept = []
        for layer in self.model.layers:
            asked = self._layers.get(layer_weights.inner_layer(layer).name, ())
            if asked:
                kernel = layer_weights.kernel_of(layer)
                values = kernel.numpy()
                # The first one that was asked for is applied last: zeros stay zero among values that share a mean.
                projections = [
                    invariants.named(invariant.projection)(invariant, values)
                    for invariant in reversed(asked)
                ]
                self._kept.append((kernel, projections))

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        for kernel, projections in self._kept:
            weights = kernel
            for project in projections:
                weights = project(weights)
            kernel.assign(weights)


def load_splits(job: StepJob[Trained], model: tf_keras.Model) -> tuple[Arrays, Arrays]:
    """The `train` and `eval` examples as a model takes them.

    If the step learns from the baseline, its outputs are their labels.
    """
    features = list(job.examples.feature_spec())
    specs = model_files.input_specs(model, features, job.examples.label)
    splits = job.examples.load("train", specs), job.examples.load("eval", specs)
    return splits if job.options.needs_labels() else strategy.outside(_answered, job, splits, features)


def _answered(
    job: StepJob[Any], splits: tuple[Arrays, Arrays], features: list[str]
) -> tuple[Arrays, Arrays]:
    baseline = job.load_baseline()
    fed = list(model_files.input_specs(baseline, features, job.examples.label))
    train, evaluation = (self_teaching.with_answers(split, baseline, fed) for split in splits)
    return train, evaluation


def compile_model(job: StepJob[Trained], model: tf_keras.Model) -> None:
    """Compiles a model as the baseline is compiled, or to come near to the baseline's outputs if those teach it.

    Raises:
        UserModuleError: If the baseline is not compiled, and labels teach.
    """
    rate = job.options.learning_rate
    if job.options.needs_labels():
        compilation.compile_like(model, job.reference_model(), rate)
        return
    baseline = strategy.outside(job.load_baseline)
    answers = self_teaching.answers_of(baseline, StepRecord.read(job.baseline()).logits)
    # Otherwise a few more steps would only restore logits of unlikely classes, which an earlier step gave up.
    temperature = job.options.teaching().temperature or StepRecord.read(job.base_model).temperature
    changes = {
        "loss": [answer.distance(temperature) for answer in answers],
        "metrics": [[answer.metric()] for answer in answers],
        "weighted_metrics": None,
    }
    reference = job.definition.build_as_saved()
    if reference._is_compiled:
        compilation.compile_like(model, reference, rate, **changes)
    else:
        model.compile(tf_keras.optimizers.Adam(rate or self_teaching.LEARNING_RATE), **changes)


def train(
    job: StepJob[Trained],
    model: tf_keras.Model,
    splits: tuple[Arrays, Arrays],
    callbacks: Sequence[tf_keras.callbacks.Callback] = (),
    first_epoch_to_stop: int = 0,
    logs: str = "",
    or_as_before: bool = False,
    keep: Asked | None = None,
) -> History:
    """Trains a compiled model, with the layers frozen that the options of a job name; see `fit_and_save`.

    Args:
        logs: Folder of the learning curves inside that of all logs.
        keep: What kernels keep, so that clients do not send it.
    """
    frozen = Frozen(model)
    patterns = job.options.freeze if isinstance(job.options, TuningOptions) else []
    frozen.freeze(layers_matching(model, patterns))
    if frozen.names():
        compilation.recompile(model)
    _mix_examples(job, model, list(splits[0].features))
    held = [frozen.hold(), *callbacks]
    with _as_deployed(job, model):
        if job.federated:
            # By its name, so that no other training depends on it: ClientTuningOptions.called_modules.
            history = invariants.named(f"{ON_CLIENTS}.fit")(job, model, splits, held, keep, or_as_before)
        else:
            history = fitting.fit(
                model,
                *splits,
                options=job.options,
                seed=job.seed,
                log_dir=os.path.join(job.output, "logs", logs),
                callbacks=held,
                first_epoch_to_stop=first_epoch_to_stop,
                or_as_before=or_as_before,
            )
    if history.kept < 0:
        logging.getLogger(__name__).warning(
            "training did not improve the model on eval examples (loss %.6g before, %.6g after); the model from "
            "before training is kept",
            history.start["val_loss"],
            history["val_loss"][-1],
        )
    frozen.thaw_all()
    return history


def fit_and_save(
    job: StepJob[Trained],
    model: tf_keras.Model,
    splits: tuple[Arrays, Arrays],
    record: StepRecord,
    finish: Callable[[tf_keras.Model], tf_keras.Model] = lambda model: model,
    callbacks: Sequence[tf_keras.callbacks.Callback] = (),
    first_epoch_to_stop: int = 0,
    or_as_before: bool = False,
) -> Facts:
    """Trains a compiled model, checks that it kept what it has to, and writes it.

    Args:
        job: Its options say how to train, and which layers to freeze.
        model: Compiled.
        splits: As `load_splits` returns them.
        record: What will have made the model.
        finish: Takes off what only training needs.
        callbacks: Further Keras callbacks.
        first_epoch_to_stop: Index of the first epoch that early stopping looks at.
        or_as_before: Whether the model stays as it is if training makes it no better on the eval examples.

    Returns:
        Facts for lineage: technique, final metrics, parameters, and `layers`, JSON of what
        `invariants.facts_of` says of each layer; `distribution` and `replicas`; the headline of each
        invariant that was asked for; `class_weights` if there are any; of quantization-aware models
        `ranges`, JSON of what `ActivationRange` says of each tensor, and `most_clipped`, the largest share.

    Raises:
        FreezingError: If the patterns of layers to freeze do not fit the model.
        LostInvariantError: If a layer does not keep what `record` says.
        RangeError: If ranges of activations do not fit the values.
    """
    history = train(job, model, splits, callbacks, first_epoch_to_stop, "", or_as_before, record.layers)
    if history.federated:
        record = record.model_copy(update={"federated": history.federated})
    model = finish(model)
    kernels = layer_weights.kernels(model)
    checks = invariants.check(kernels, record.layers)
    invariants.refuse_lost(checks)
    if record.calibration is not None:
        record = _with_ranges(job, model, splits, record, record.calibration)
    objects = job.definition.custom_objects()
    model_files.save(model, job.output, list(splits[0].features), record, objects)
    history.write(job.output)
    facts: Facts = {
        "technique": "-".join(record.techniques()),
        "parameters": int(model.count_params()),
        "layers": json.dumps(invariants.facts_of(kernels, record.layers)),
        **fit_inputs.facts(),
        **invariants.headline(checks),
    }
    if splits[0].class_weights is not None:
        facts[class_weights.PROPERTY] = splits[0].class_weights.fact()
    if record.ranges:
        facts[activation_ranges.RANGES] = activation_ranges.as_property(record.ranges)
        facts["most_clipped"] = max(one.clipped for one in record.ranges.values())
    facts.update(history.facts())
    return facts


def _mix_examples(job: StepJob[Any], model: tf_keras.Model, features: list[str]) -> None:
    """Lets a model also learn the baseline's decisions about mixtures of examples, if its step asks for that.

    Plain values are not decisions. Among several workers the baseline would have to be everywhere.
    """
    share = job.options.teaching().mixtures
    if job.options.needs_labels() or not share or strategy.in_scope() or not mixtures.can_mix(model):
        return
    baseline = job.load_baseline()
    answers = self_teaching.answers_of(baseline, StepRecord.read(job.baseline()).logits)
    fed = model_files.input_specs(baseline, features, job.examples.label)
    if all(answer.of for answer in answers):
        inputs = [features.index(name) for name in fed]
        mixtures.train_on_mixtures(model, baseline, inputs, share, job.seed)


@contextmanager
def _as_deployed(job: StepJob[Any], model: tf_keras.Model) -> Iterator[None]:
    """Lets a model that learns from the baseline's outputs compute as it will once deployed, as the baseline did.

    A few thousand examples say too little of the statistics of batches, and the baseline's are known. What units
    Dropout leaves out changes outputs far more than what the step did to the weights.
    """
    with ExitStack() as training:
        if not job.options.needs_labels() and not job.options.quantization_aware:
            training.enter_context(normalization.frozen_statistics(model))
            training.enter_context(normalization.without_dropout(model))
        yield


def _with_ranges(
    job: StepJob[Any],
    model: tf_keras.Model,
    splits: tuple[Arrays, Arrays],
    record: StepRecord,
    options: Calibration,
) -> StepRecord:
    """The record with what became of the model's ranges.

    Ranges move slowly: after a training that changed the activations much, they are set once more, as they were before.
    """
    train, evaluation = (
        split.draw(count, job.seed).feature_arrays()
        for split, count in zip(splits, (options.examples, _MEASURED), strict=True)
    )
    ranges = calibration.measure_ranges(model, train, evaluation, options)
    log = logging.getLogger(__name__)
    if before := activation_ranges.findings(ranges):
        log.warning(
            "ranges no longer fitted after training and were set again: %s", "; ".join(sorted(before))
        )
        calibration.calibrate(model, train, options)
        ranges = calibration.measure_ranges(model, train, evaluation, options)
    activation_ranges.refuse_wrong(ranges, options.max_clipped)
    for tensor, what in activation_ranges.findings(ranges).items():
        log.warning("activations of %s: %s", tensor, what)
    return record.model_copy(update={"ranges": ranges})
