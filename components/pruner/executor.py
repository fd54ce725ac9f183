"""Magnitude pruning with TFMOT."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

import tf_keras

from components.common.base.step_options import LearningRateSchedule
from components.common.data.arrays import Arrays
from components.common.models import layer_weights
from components.common.models.compilation import learning_rate_of
from components.common.models.model_files import Facts, StepRecord
from components.common.models.stock_layers import without_autograph
from components.common.steps import fine_tuning
from components.common.steps.step_executor import StepExecutor, StepJob
from components.common.tfmot.library import tfmot
from components.pruner import blocks, surgery
from components.pruner.invariants import MByN, Sparsity
from components.pruner.params import PruneOptions
from components.pruner.schedule import Renewals, first_complete_epoch, renewals, schedule, too_short
from components.pruner.selection import layer_targets

# Training examples that layers' outputs are kept on, at most.
_OPERATED_ON = 1000
# As TFMOT counts steps; it makes a mask of m:n sparsity at step 1 alone.
_AT_ONCE = Renewals(begin=1, end=1, frequency=1, complete=1)


def wrap(
    model: tf_keras.Model, targets: Mapping[str, float], options: PruneOptions, when: Renewals
) -> tf_keras.Model:
    """A copy of a model of which some layers are pruned while it trains; weights are taken over.

    Args:
        model: Not changed.
        targets: Layer → its sparsity in the end.
        options: Options of the step.
        when: Steps in which masks are made again.
    """

    prune_low_magnitude = tfmot.sparsity.keras.prune_low_magnitude

    def wrapped(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        copy = type(layer).from_config(layer.get_config())
        if layer.name not in targets:
            return copy
        if options.m_by_n:
            # TFMOT makes this mask at step 1, and goes by no schedule.
            return prune_low_magnitude(copy, sparsity_m_by_n=options.m_by_n)
        return prune_low_magnitude(copy, schedule(options, targets[layer.name], when))

    pruned = without_autograph(tf_keras.models.clone_model, model)(model, clone_function=wrapped)
    for layer, original in zip(pruned.layers, model.layers, strict=True):
        inner = layer.layer if original.name in targets else layer
        inner.set_weights(original.get_weights())
        if options.block and original.name in targets:
            blocks.prune_in_blocks(layer, options.block, options.block_pooling)
    return pruned


def ask(
    record: StepRecord, model: tf_keras.Model, targets: Mapping[str, float], options: PruneOptions
) -> None:
    """Adds to a record what pruned layers must keep from now on; never less than before.

    Args:
        record: Changed.
        model: With the layers.
        targets: Layer → its sparsity.
        options: Options of the step.
    """
    for name, target in targets.items():
        if options.m_by_n:
            m, n = options.m_by_n
            record.ask(name, MByN(m=m, n=n))
            continue
        before = [asked.least for asked in record.asked(name) if isinstance(asked, Sparsity)]
        shape = layer_weights.kernel_of(model.get_layer(name)).shape
        least = max([*before, blocks.least_sparsity(shape, target, options.block)])
        record.ask(name, Sparsity(least=least, block=options.block))


def prune(job: StepJob[PruneOptions]) -> Facts:
    """Prunes the model of a job while it is trained on; what is zero already stays zero.

    Raises:
        LayerSelectionError: If the patterns select nothing.
        ScheduleError: If pruning would not be over when training is.
        LostInvariantError: If a layer ends with less sparsity than was asked for.
    """
    model = job.load_base_model()
    targets = layer_targets(model, job.options)
    splits = fine_tuning.load_splits(job, model)
    options = job.options.for_model(model.count_params(), len(splits[0]))
    job = replace(job, options=options)
    if options.federated:
        return _prune_at_once(job, model, targets, splits)
    when = renewals(options, len(splits[0]))
    if short := too_short(options, len(splits[0])):
        logging.getLogger(__name__).warning("prune: %s", short)
    operated: list[str] = []
    if options.reconstruct:
        operated = surgery.operate(model, targets, splits[0].draw(_OPERATED_ON, job.seed).feature_arrays())
    pruned = wrap(model, targets, options, when)
    fine_tuning.compile_model(job, pruned)
    if (
        not isinstance(learning_rate_of(pruned), float)
        and options.learning_rate_schedule == options.usual_schedule()
    ):
        job = replace(
            job, options=options.model_copy(update={"learning_rate_schedule": LearningRateSchedule()})
        )
    record = StepRecord.read(job.base_model).after(options)
    if not options.needs_labels():
        record = record.model_copy(update={"temperature": options.teaching().temperature})
    # TFMOT's first masks have few zeros: without this, zeros of an earlier pruning would be lost.
    before = {layer: list(asked) for layer, asked in record.layers.items()}
    ask(record, model, targets, options)
    preserve = fine_tuning.Preserve(record.layers if options.reconstruct else before)
    return fine_tuning.fit_and_save(
        job,
        pruned,
        splits,
        record,
        finish=tfmot.sparsity.keras.strip_pruning,
        callbacks=[tfmot.sparsity.keras.UpdatePruningStep(), preserve],
        first_epoch_to_stop=first_complete_epoch(when, options, len(splits[0])),
        # All zeros are there already: training has to be better than what made up for the weights.
        or_as_before=set(operated) == set(targets),
    )


def zero_now(model: tf_keras.Model, targets: Mapping[str, float], options: PruneOptions) -> tf_keras.Model:
    """A copy of a model whose layers have their zeros, without any training.

    Args:
        model: Not changed.
        targets: Layer → its sparsity.
        options: Options of the step.
    """
    wrapped = wrap(model, targets, options, _AT_ONCE)
    for layer in wrapped.layers:
        if hasattr(layer, "pruning_obj"):
            layer.pruning_step.assign(_AT_ONCE.begin)
            layer.pruning_obj.conditional_mask_update()
            layer.pruning_obj.weight_mask_op()
    return tfmot.sparsity.keras.strip_pruning(wrapped)


def _prune_at_once(
    job: StepJob[PruneOptions],
    model: tf_keras.Model,
    targets: Mapping[str, float],
    splits: tuple[Arrays, Arrays],
) -> Facts:
    """Prunes a model before clients train what is left: a mask that changed would have to be sent again."""
    options = job.options
    if options.reconstruct:
        surgery.operate(model, targets, splits[0].draw(_OPERATED_ON, job.seed).feature_arrays())
    pruned = zero_now(model, targets, options)
    fine_tuning.compile_model(job, pruned)
    record = StepRecord.read(job.base_model).after(options)
    ask(record, pruned, targets, options)
    return fine_tuning.fit_and_save(
        job, pruned, splits, record, callbacks=[fine_tuning.Preserve(record.layers)]
    )


class Executor(StepExecutor[PruneOptions]):
    """Runs `prune`."""

    OPTIONS = PruneOptions

    def run(self, job: StepJob[PruneOptions]) -> Facts:
        """Prunes; see `prune`."""
        return prune(job)
