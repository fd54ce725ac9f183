"""Magnitude pruning with TFMOT."""

from __future__ import annotations

import fnmatch
import math
from typing import Any

import tensorflow_model_optimization as tfmot
import tf_keras

from components.common import fine_tuning, layer_weights, training
from components.common.model_files import Facts, StepRecord
from components.common.sparsity import reachable
from components.common.step_executor import StepExecutor, StepJob


class LayerSelectionError(Exception):
    """The patterns of layers select nothing that can be pruned."""


def select_layers(model: tf_keras.Model, include: list[str], exclude: list[str]) -> list[str]:
    """Names of the layers to prune.

    Args:
        model: Whose layers to choose among.
        include: Patterns, as of file names, of layers to prune.
        exclude: Patterns of layers to leave dense; they win over `include`.

    Raises:
        LayerSelectionError: Where a pattern matches no layer with a kernel that TFMOT can prune, or a
            model inside the model is selected.
    """
    nested = [layer.name for layer in model.layers if _is_nested(layer)]
    prunable = [layer.name for layer in model.layers if _can_prune(layer)]
    for pattern in [*include, *exclude]:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in prunable + nested):
            raise LayerSelectionError(
                f"pattern {pattern!r} matches no layer that can be pruned; those are {prunable}"
            )
    names = [
        name
        for name in prunable + nested
        if any(fnmatch.fnmatchcase(name, p) for p in include)
        and not any(fnmatch.fnmatchcase(name, p) for p in exclude)
    ]
    for name in names:
        if name in nested:
            raise LayerSelectionError(
                f"{name} is a model inside the model, whose layers cannot be pruned one by one: put its "
                f"layers into the model itself, or leave it dense with exclude: [{name}]"
            )
    if not names:
        raise LayerSelectionError(f"include {include} and exclude {exclude} leave no layer to prune")
    return names


def _is_nested(layer: tf_keras.layers.Layer) -> bool:
    return isinstance(layer, tf_keras.Model) and layer_weights.has_kernel(layer)


def _can_prune(layer: tf_keras.layers.Layer) -> bool:
    """Whether TFMOT prunes the kernel of this layer; others it refuses, or lets pass untouched.

    It takes DepthwiseConv2D, for one, and then prunes nothing of it, which only a built layer shows.
    """
    if isinstance(layer, tf_keras.Model) or not layer_weights.has_kernel(layer):
        return False
    try:
        wrapped = tfmot.sparsity.keras.prune_low_magnitude(type(layer).from_config(layer.get_config()))
        wrapped.build(layer.get_input_shape_at(0))
    except (ValueError, AttributeError):
        return False
    kernel = layer_weights.kernel_of(wrapped.layer)
    return any(weight is kernel for weight, _, _ in wrapped.pruning_vars)


def schedule(options: dict[str, Any], steps: int) -> Any:
    """TFMOT's pruning schedule for a training of so many steps.

    The polynomial one ends after three quarters of them, so that the rest recovers accuracy. Masks are
    renewed often enough that the last renewal before the end has the target, however few steps there
    are: with TFMOT's default of every 100 steps, a short training never reaches it.
    """
    sparsity = tfmot.sparsity.keras
    end = max(1, math.floor(steps * 0.75))
    frequency = max(1, min(100, end // 10))
    if options["schedule"] == "constant":
        return sparsity.ConstantSparsity(options["sparsity"], begin_step=0, frequency=frequency)
    return sparsity.PolynomialDecay(
        initial_sparsity=options["initial_sparsity"],
        final_sparsity=options["sparsity"],
        begin_step=0,
        end_step=end - end % frequency,
        frequency=frequency,
    )


def wrap(model: tf_keras.Model, layers: list[str], pruning_schedule: Any) -> tf_keras.Model:
    """A copy of a model whose `layers` are pruned while it trains; weights are taken over."""

    def wrapped(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        if layer.name not in layers:
            return type(layer).from_config(layer.get_config())
        copy = type(layer).from_config(layer.get_config())
        return tfmot.sparsity.keras.prune_low_magnitude(copy, pruning_schedule)

    pruned = tf_keras.models.clone_model(model, clone_function=wrapped)
    for layer, original in zip(pruned.layers, model.layers, strict=True):
        inner = layer.layer if layer.name != original.name else layer
        inner.set_weights(original.get_weights())
    return pruned


def prune(job: StepJob) -> Facts:
    """Prunes the model of a job while it is trained on.

    Raises:
        LayerSelectionError: Where the patterns select nothing.
        LostSparsityError: Where a layer ends with less sparsity than was asked for.
    """
    model = job.load_base_model()
    options = job.options
    layers = select_layers(model, options["include"], options["exclude"])
    splits = fine_tuning.load_splits(job, model)
    steps = options["epochs"] * math.ceil(len(splits[0]) / options["batch_size"])
    pruned = wrap(model, layers, schedule(options, steps))
    training.compile_like(pruned, job.reference_model(), options["learning_rate"])
    record = StepRecord.read(job.base_model).after("prune", options)
    # Layers that an earlier pruning chose and this one does not stay as sparse as they are.
    kept = [name for name in record.sparsity if name not in layers]
    for name in layers:
        weights = layer_weights.kernel_of(model.get_layer(name)).shape.num_elements()
        record.sparsity[name] = reachable(options["sparsity"], weights)
    return fine_tuning.fit_and_save(
        job,
        pruned,
        splits,
        record,
        finish=tfmot.sparsity.keras.strip_pruning,
        callbacks=[tfmot.sparsity.keras.UpdatePruningStep(), fine_tuning.KeepZeros(kept)],
    )


class Executor(StepExecutor):
    """Runs `prune`."""

    def run(self, job: StepJob) -> Facts:
        """Prunes; see `prune`."""
        return prune(job)
