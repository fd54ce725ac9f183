"""How many channels each layer keeps, and which."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import tf_keras

from components.channel_pruner.cuts import Alive
from components.channel_pruner.graph import ChannelError, ChannelGraph, Group, makes_channels, trace
from components.channel_pruner.params import ChannelOptions
from components.common.base.layer_names import matches
from components.common.models import layer_selection
from components.common.models.layer_selection import LayerSelectionError

# unit → how important it is.
Scores = npt.NDArray[np.float64]
# Shares that are tried until what remains is little enough.
_SHARES = np.linspace(0, 1, 401)[1:]
# The least share of its channels that a layer keeps, even if all of its channels are less important than others'.
_LEAST = 0.1


def channels_of(model: tf_keras.Model, options: ChannelOptions) -> ChannelGraph:
    """The channels of a model that may be removed.

    Raises:
        LayerSelectionError: If the patterns match nothing.
        ChannelError: If no channel can be removed.
    """
    selected = layer_selection.select(
        model, options.include, options.exclude, makes_channels, "pruned", "whole"
    )
    graph = trace(model, lambda name: name in selected)
    if options.importance == "batch_norm":
        graph = graph.where(
            lambda layers, units: bool(np.isin(units, _scaled(model, graph)).all()),
            "no BatchNormalization with a scale follows",
        )
    if not any(len(group) > 1 for group in graph.groups):
        pins = [pin for layer, pin in graph.whole.items() if layer in selected]
        why = "; ".join(str(pin) for pin in dict.fromkeys(pins)) or "each has only one"
        raise ChannelError(f"no layer has channels that can be removed: {why}")
    able = sorted({layer for group in graph.groups for layer in group.layers})
    for pattern in options.per_layer:
        if not any(matches(layer, [pattern]) for layer in able):
            raise LayerSelectionError(
                f"per_layer: pattern {pattern!r} matches no layer whose channels can be removed; those are {able}"
            )
    return graph


def _scaled(model: tf_keras.Model, graph: ChannelGraph) -> npt.NDArray[np.int64]:
    """Units that a BatchNormalization scales."""
    norms = [
        graph.outputs[layer.name]
        for layer in model.layers
        if isinstance(layer, tf_keras.layers.BatchNormalization) and layer.scale
    ]
    return np.concatenate([*norms, np.zeros(0, np.int64)])


def allocate(
    model: tf_keras.Model,
    graph: ChannelGraph,
    options: ChannelOptions,
    scores: Scores | None = None,
    progress: float = 1.0,
) -> list[int]:
    """The number of units that each group keeps.

    Args:
        model: The whole model.
        graph: Graph of the model, as `channels_of` returns it.
        options: Options of the step.
        scores: Unit → importance, which counts if the scope is global; by the same share of each group if None.
        progress: Which part of the way to the goal is gone: after one of two rounds 0.5.

    Raises:
        ChannelError: If the goal cannot be reached, or removes nothing.
    """
    ranked = scores if options.scope == "global" else None

    def kept(share: float) -> list[int]:
        removed = _by_rank(graph, options, ranked, share) if ranked is not None else {}
        return [
            _rounded(group, _part(fixed, progress), options.multiple_of)
            if (fixed := options.ratio_of(list(group.layers))) is not None
            else _rounded(group, removed.get(index, share), options.multiple_of)
            for index, group in enumerate(graph.groups)
        ]

    if options.ratio is not None:
        found = kept(_part(options.ratio, progress))
        if progress == 1.0 and found == [len(group) for group in graph.groups]:
            raise ChannelError(
                f"ratio {options.ratio:g} removes no channel, because multiples of {options.multiple_of} must "
                f"remain; write a "
                "higher ratio or a lower multiple_of"
            )
        return found
    if options.macs is not None:
        return _within("macs", options.macs, progress, kept, lambda alive: graph.macs(alive), graph)
    assert options.parameters is not None
    return _within(
        "parameters",
        options.parameters,
        progress,
        kept,
        lambda alive: graph.parameters(model, alive),
        graph,
    )


def _within(
    name: str,
    limit: float,
    progress: float,
    kept: Callable[[float], list[int]],
    measure: Callable[[Alive], int],
    graph: ChannelGraph,
) -> list[int]:
    whole = measure(graph.all_alive())
    least = whole
    for share in _SHARES:
        counts = kept(float(share))
        least = min(least, measure(choose(graph, counts)))
        if least <= limit**progress * whole:
            return counts
    raise ChannelError(
        f"{name}: {limit:g} cannot be reached: {math.ceil(least / whole * 1000) / 1000:g} remains if every layer that "
        f"may lose channels keeps the fewest; write {name}: {math.ceil(least / whole * 100) / 100:g} or more, or "
        f"leave "
        "fewer layers out"
    )


def _part(ratio: float, progress: float) -> float:
    """The share that is removed on the way to a ratio, an equal part of what is left in each round."""
    return float(1 - (1 - ratio) ** progress)


def _by_rank(
    graph: ChannelGraph, options: ChannelOptions, scores: Scores, share: float
) -> dict[int, float]:
    """Group → the share of its units that are among the least important ones of all."""
    free = [i for i, group in enumerate(graph.groups) if options.ratio_of(list(group.layers)) is None]
    if not free:
        return {}
    every = np.sort(np.concatenate([scores[graph.groups[index].units] for index in free]))
    bound = every[min(len(every) - 1, round(share * len(every)))]
    return {
        index: min(float(np.mean(scores[graph.groups[index].units] < bound)), 1 - _LEAST) for index in free
    }


def _rounded(group: Group, removed: float, multiple: int) -> int:
    """The number of units of a group that is nearest to a share and a multiple in all of its layers."""
    size = len(group)
    while multiple > 1 and 2 * multiple > size * min(group.layers.values()):
        multiple //= 2
    step = math.lcm(*(multiple // math.gcd(multiple, each) for each in group.layers.values()))
    return min(size, max(step, math.floor(size * (1 - removed) / step + 0.5) * step))


def choose(graph: ChannelGraph, counts: Sequence[int], scores: Scores | None = None) -> Alive:
    """The units that are left: the most important ones of each group, of equal ones the first.

    Args:
        graph: The channels.
        counts: How many each group keeps.
        scores: Unit → importance; all are equal if None.
    """
    alive = graph.all_alive()
    for group, count in zip(graph.groups, counts, strict=True):
        important = np.zeros(len(group)) if scores is None else scores[group.units]
        alive[group.units[np.argsort(-important, kind="stable")[count:]]] = False
    return alive
