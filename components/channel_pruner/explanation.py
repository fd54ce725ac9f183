"""The effect of the `prune_channels` step on a model."""

from __future__ import annotations

import tf_keras

from components.channel_pruner import shrinking
from components.channel_pruner.allocation import allocate, channels_of, choose
from components.channel_pruner.cuts import Alive, Cuts
from components.channel_pruner.executor import ask
from components.channel_pruner.graph import ChannelError, ChannelGraph, makes_channels
from components.channel_pruner.params import ChannelOptions
from components.common.models.layer_selection import LayerSelectionError
from components.common.steps.explanation import Explanation, Outlook, Refusal


def explain(outlook: Outlook, options: ChannelOptions) -> Explanation:
    """Says what each layer loses, and why some layers are left whole; see components.common.steps.explanation."""
    model = outlook.model
    try:
        graph = channels_of(model, options)
        alive = choose(graph, allocate(model, graph, options))
    except (LayerSelectionError, ChannelError) as error:
        return Explanation({}, [Refusal("", str(error))], outlook.after(options))
    with tf_keras.utils.custom_object_scope(outlook.workshop.custom_objects):
        after = outlook.after(options, shrinking.smaller(model, graph, alive))
    ask(after.record, model, graph, alive)
    effects = {
        layer.name: text for layer in model.layers if (text := _effect(layer, graph, alive)) is not None
    }
    return Explanation(effects, [], after, remarks=_remarks(model, graph, alive, options))


def _effect(layer: tf_keras.layers.Layer, graph: ChannelGraph, alive: Alive) -> str | None:
    """Loss of a layer in channels, operations and parameters; None if it has none of them."""
    every, cuts = graph.all_alive(), graph.cuts.get(layer.name, Cuts())
    parts = []
    if makes_channels(layer):
        units = graph.outputs[layer.name]
        pin = graph.whole.get(layer.name)
        why = (pin.reason if pin.layer == layer.name else str(pin)) if pin else ""
        parts.append(
            _change(len(units), int(alive[units].sum()), "channels") + (f" ({why})" if why else "")
        )
    if cuts.products:
        parts.append(_change(cuts.macs(every), cuts.macs(alive), "MACs"))
    if layer.weights:
        parts.append(_change(layer.count_params(), cuts.parameters(layer, alive), "parameters"))
    return ", ".join(parts) or None


def _change(before: int, after: int, of: str) -> str:
    return f"{before:,} {of}" if before == after else f"{before:,} → {after:,} {of}"


def _remarks(
    model: tf_keras.Model, graph: ChannelGraph, alive: Alive, options: ChannelOptions
) -> list[str]:
    every = graph.all_alive()
    figures = [
        ("MACs", graph.macs(every), graph.macs(alive)),
        ("parameters", graph.parameters(model, every), graph.parameters(model, alive)),
    ]
    text = ", ".join(
        f"{_change(before, after, of)} ({after / before:.2f} ×)" for of, before, after in figures if before
    )
    found = [f"of the whole model, {text}"]
    if options.scope == "global":
        found.append(
            "which layers lose more than others depends on trained weights; these figures assume the same share in "
            "every layer"
        )
    if options.rounds > 1:
        found.append(
            f"channels are removed in {options.rounds} rounds, each with an equal part of the training"
        )
    return found
