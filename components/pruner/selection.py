"""Which layers of a model are pruned, and to which sparsity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tf_keras

from components.common.base.layer_names import matches
from components.common.models import layer_selection, layer_weights
from components.common.models.layer_selection import LayerSelectionError, is_nested
from components.common.tfmot.library import tfmot
from components.pruner import allocation
from components.pruner.params import PruneOptions

_layers = tf_keras.layers
# Whose kernels have the input channels last but one, in Keras, and last in a TFLite file. By exact class:
# a Conv2DTranspose is a Conv2D, and has them last.
_WITH_INPUT_CHANNELS = (_layers.Dense, _layers.Conv2D, _layers.SeparableConv2D)


def layer_targets(model: tf_keras.Model, options: PruneOptions) -> dict[str, float]:
    """Layer → share of its weights that become zero, for all layers that options select and that lose some.

    Args:
        model: Whose layers to choose among.
        options: Options of the step.

    Raises:
        LayerSelectionError: As `select_layers`; if a pattern of `per_layer` decides about no layer.
    """
    layers = select_layers(model, options.include, options.exclude, options.m_by_n, options.block)
    _refuse_unused(list(options.per_layer), layers)
    if options.allocation != "lamp" or options.sparsity is None:
        return {name: options.target(name) for name in layers}
    together = {
        name: layer_weights.kernel_of(model.get_layer(name)).numpy()
        for name in layers
        if options.written_target(name) is None
    }
    shares = allocation.shares(together, options.sparsity) if together else {}
    targets = {name: shares[name] if name in shares else options.target(name) for name in layers}
    return {name: target for name, target in targets.items() if target}


def _refuse_unused(patterns: Sequence[str], layers: Sequence[str]) -> None:
    decided: set[str] = set()
    for index, pattern in enumerate(patterns):
        matched = {name for name in layers if matches(name, [pattern])}
        if not matched:
            raise LayerSelectionError(
                f"per_layer: pattern {pattern!r} matches no layer that is pruned; those are {list(layers)}"
            )
        if matched <= decided:
            raise LayerSelectionError(
                f"per_layer: pattern {pattern!r} is never used, as {list(patterns[:index])} before it match the "
                "same layers; write it before them"
            )
        decided |= matched


def select_layers(
    model: tf_keras.Model,
    include: list[str],
    exclude: list[str],
    m_by_n: Sequence[int] | None = None,
    block: Sequence[int] | None = None,
) -> list[str]:
    """Names of the layers to prune.

    A layer that cannot have the structure that was asked for is left out if a pattern matches others
    as well, and refused if a pattern matches nothing else, for instance its name.

    Args:
        model: Whose layers to choose among.
        include: Patterns, as of file names, of layers to prune.
        exclude: Patterns of layers to leave dense; they win over `include`.
        m_by_n: (m, n) of m:n sparsity.
        block: Rows and columns of blocks.

    Raises:
        LayerSelectionError: If a pattern matches no layer with a kernel that TFMOT can prune, or none
            that can have the structure; if a model inside the model is selected.
    """
    prunable = [layer for layer in model.layers if can_prune(layer)]
    obstacles = {
        layer.name: reason for layer in prunable if (reason := obstacle(layer, m_by_n, block)) is not None
    }
    able = {layer.name for layer in prunable} - set(obstacles)
    choosable = able | {layer.name for layer in model.layers if is_nested(layer)}

    def hindered(pattern: str) -> dict[str, str]:
        """Layer → reason, if a pattern matches only such layers."""
        if any(matches(name, [pattern]) for name in choosable):
            return {}
        return {name: reason for name, reason in obstacles.items() if matches(name, [pattern])}

    for pattern in include:
        if reasons := hindered(pattern):
            raise LayerSelectionError(_refusal(pattern, reasons, m_by_n))
    return layer_selection.select(
        model,
        include,
        # Excluded layers are not checked.
        [pattern for pattern in exclude if not hindered(pattern)],
        lambda layer: layer.name in able,
        done="pruned",
        otherwise="dense",
    )


def _refusal(pattern: str, reasons: Mapping[str, str], m_by_n: Sequence[int] | None) -> str:
    by_reason: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        by_reason.setdefault(reason, []).append(name)
    why = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in by_reason.items())
    kind = f"{m_by_n[0]}:{m_by_n[1]} sparsity" if m_by_n else "block sparsity"
    return (
        f"include: {pattern!r} matches no layer that can have {kind} ({why}); remove it, or prune these layers in "
        "another `prune` step with only `sparsity`"
    )


def can_prune(layer: tf_keras.layers.Layer) -> bool:
    """Whether TFMOT prunes the kernel of this layer; others it refuses, or lets pass untouched.

    For example, it accepts DepthwiseConv2D and then prunes nothing in it, which only a built layer shows.
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


def obstacle(
    layer: tf_keras.layers.Layer, m_by_n: Sequence[int] | None, block: Sequence[int] | None
) -> str | None:
    """Why a layer that can be pruned cannot have a structure among its zeros; None if it can.

    Args:
        layer: Built.
        m_by_n: (m, n) of m:n sparsity.
        block: Rows and columns of blocks.
    """
    shape = layer_weights.kernel_of(layer).shape
    if m_by_n:
        if type(layer) not in _WITH_INPUT_CHANNELS:
            return f"{type(layer).__name__} is not Dense, Conv2D or SeparableConv2D"
        if shape[-2] < m_by_n[1]:
            channels = "1 input channel" if shape[-2] == 1 else f"{shape[-2]} input channels"
            return f"{channels}, fewer than {m_by_n[1]}"
    if block:
        if type(layer) is not _layers.Dense:
            return f"{type(layer).__name__} is not Dense"
        if shape[0] <= block[0] and shape[1] <= block[1]:
            return f"a kernel of {shape[0]}×{shape[1]} has only one block"
    return None
