"""Removing channels, and training on what is left."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import tf_keras

from components.channel_pruner import importance, shrinking
from components.channel_pruner.allocation import Scores, allocate, channels_of, choose
from components.channel_pruner.cuts import Alive
from components.channel_pruner.graph import ChannelGraph, makes_channels
from components.channel_pruner.invariants import Channels
from components.channel_pruner.params import ChannelOptions
from components.common.data.arrays import Arrays
from components.common.models import strategy
from components.common.models.model_files import Facts, StepRecord
from components.common.steps import fine_tuning
from components.common.steps.step_executor import StepExecutor, StepJob
from components.common.training import fitting

# Examples that the gradient of the loss is taken of.
_EXAMPLES = 1024

Splits = tuple[Arrays, Arrays]


def ask(record: StepRecord, model: tf_keras.Model, graph: ChannelGraph, alive: Alive) -> None:
    """Asks layers that lost channels to have no more than are left."""
    for layer in model.layers:
        units = graph.outputs[layer.name]
        left = int(alive[units].sum())
        if makes_channels(layer) and left < len(units):
            record.ask(layer.name, Channels(most=left))


def prune_channels(job: StepJob[ChannelOptions]) -> Facts:
    """Removes channels of the model of a job, in rounds, and trains it after each of them.

    Raises:
        LayerSelectionError: If the patterns select nothing.
        ChannelError: If that many channels cannot be removed.
    """
    options = job.options
    whole = job.load_base_model()
    graph = channels_of(whole, options)
    splits = fine_tuning.load_splits(job, whole)
    model, alive = whole, graph.all_alive()
    parts = _parts(options, len(splits[0]))
    for number, part in enumerate(parts, 1):
        scores = _scores(job, model, whole, graph, alive, splits)
        counts = allocate(whole, graph, options, scores, number / len(parts))
        before, alive = alive, choose(graph, counts, scores)
        weights = shrinking.smaller_weights(model, graph, alive, before)
        model = shrinking.build(whole, graph, alive, weights)
        fine_tuning.compile_model(job, model)
        if number < len(parts):
            fine_tuning.train(replace(job, options=part), model, splits, logs=f"round-{number}")
    record = StepRecord.read(job.base_model).after(options)
    ask(record, whole, graph, alive)
    facts = fine_tuning.fit_and_save(replace(job, options=parts[-1]), model, splits, record)
    return {**facts, "macs": graph.macs(alive)}


def _parts(options: ChannelOptions, examples: int) -> list[ChannelOptions]:
    """The training after each round; only that after the last one may end early."""
    if options.rounds == 1:
        return [options]
    steps = fitting.total_steps(options, examples)
    each = max(1, steps // options.rounds)
    last = max(1, steps - each * (options.rounds - 1))
    between = options.model_copy(update={"steps": each, "early_stopping": None})
    return [between] * (options.rounds - 1) + [options.model_copy(update={"steps": last})]


def _scores(
    job: StepJob[ChannelOptions],
    model: tf_keras.Model,
    whole: tf_keras.Model,
    graph: ChannelGraph,
    alive: Alive,
    splits: Splits,
) -> Scores:
    kind = job.options.importance
    if kind != "taylor":
        return importance.of_weights(kind, model, graph, alive)
    weights = shrinking.smaller_weights(model, graph, alive, alive)

    def of_plain_copy() -> Any:
        copy = shrinking.build(whole, graph, alive, weights)
        fine_tuning.compile_model(job, copy)
        drawn = splits[0].draw(_EXAMPLES, job.seed)
        return importance.of_loss(copy, graph, alive, fitting.as_losses_take(copy, drawn, "train"))

    scores: Scores = strategy.outside(of_plain_copy)
    return scores


class Executor(StepExecutor[ChannelOptions]):
    """Runs `prune_channels`."""

    OPTIONS = ChannelOptions

    def run(self, job: StepJob[ChannelOptions]) -> Facts:
        """Removes channels; see `prune_channels`."""
        return prune_channels(job)
