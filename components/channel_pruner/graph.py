"""Which channels of a model go together, and which have to stay.

Removing a channel of one layer's output removes it from all that read it, and from all that is added to it. Groups of
layers that share channels are found by walking through the model once, as in Fang et al., "DepGraph: Towards Any
Structural Pruning" (2023), https://arxiv.org/abs/2301.12900.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from components.channel_pruner.cuts import Alive, Cuts
from components.channel_pruner.rules import PRODUCERS, RULES, Call, Unfollowed
from components.channel_pruner.units import Channels, Pin, Units, first_pin
from components.common.base.errors import ParedownError


class ChannelError(ParedownError):
    """A model's channels cannot be removed as asked for; the message says why."""


@dataclass(frozen=True)
class Group:
    """Units that are channels of the same layers.

    Attributes:
        layers: Layer → how many of its output channels a unit has: 1, or as many as a convolution has groups.
        units: The units, in the order of the first layer's channels.
    """

    layers: dict[str, int]
    units: Channels

    def __len__(self) -> int:
        return len(self.units)


@dataclass(frozen=True)
class ChannelGraph:
    """The channels of a model.

    Attributes:
        size: Number of units; a boolean array of this length says which are left.
        outputs: Layer → the unit of each channel of its output; of the last use of a layer.
        cuts: Layer → what of it goes with its channels, for layers that channels are followed through.
        groups: Units that may be removed.
        whole: Layer that makes channels none of which can be removed → why.
    """

    size: int
    outputs: dict[str, Channels]
    cuts: dict[str, Cuts]
    groups: list[Group]
    whole: dict[str, Pin]

    def all_alive(self) -> Alive:
        """Every unit is left."""
        return np.ones(self.size, np.bool_)

    def macs(self, alive: Alive) -> int:
        """Multiply-accumulate operations of convolutions and dense layers for one example."""
        return sum(cuts.macs(alive) for cuts in self.cuts.values())

    def parameters(self, model: tf_keras.Model, alive: Alive) -> int:
        """Weights of the model that are left, of layers that channels are not followed through all."""
        return sum(self.cuts.get(layer.name, Cuts()).parameters(layer, alive) for layer in model.layers)

    def where(self, removable: Callable[[Mapping[str, int], Channels], bool], reason: str) -> ChannelGraph:
        """The same channels, of which only some groups may be removed.

        Args:
            removable: Whether a group, by its layers and units, may be.
            reason: Why the others may not.
        """
        groups = [group for group in self.groups if removable(group.layers, group.units)]
        able = {layer for group in groups for layer in group.layers}
        lost = {layer for group in self.groups for layer in group.layers} - able
        whole = {**self.whole, **{layer: Pin(layer, reason) for layer in lost}}
        return replace(self, groups=groups, whole=whole)


def makes_channels(layer: tf_keras.layers.Layer) -> bool:
    """Whether a layer has output channels of its own that can be removed."""
    return type(layer) in PRODUCERS


def trace(model: tf_keras.Model, selected: Callable[[str], bool] = lambda name: True) -> ChannelGraph:
    """Finds the channels of a model.

    Args:
        model: Functional or Sequential.
        selected: Whether channels of the layer of a name may be removed.

    Raises:
        ChannelError: If the model is subclassed.
    """
    if not getattr(model, "_is_graph_network", False):
        raise ChannelError(
            f"{model.name} is a subclassed model, whose channels cannot be followed; build it with the functional API "
            "or Sequential"
        )
    walk = _Walk(model)
    for layer in model.layers:
        if makes_channels(layer) and not selected(layer.name):
            walk.units.pin(walk.outputs[layer.name], Pin(layer.name, "it is not selected"))
    return walk.graph()


class _Walk:
    """The channels of each tensor of a model."""

    def __init__(self, model: tf_keras.Model):
        self.units = Units()
        self.outputs: dict[str, Channels] = {}
        self._model = model
        self._cuts: dict[str, Cuts] = {}
        self._read: dict[str, list[Channels]] = {}
        self._channels: dict[int, Channels] = {}
        nodes = [n for _, level in sorted(model._nodes_by_depth.items(), reverse=True) for n in level]
        for node in nodes:
            self._follow(node)
        for tensor, name in zip(model.outputs, model.output_names, strict=True):
            self.units.pin(self._channels[id(tensor)], Pin(name, "it is an output of the model"), True)

    def _follow(self, node: Any) -> None:
        layer, outputs = node.layer, tf.nest.flatten(node.outputs)
        inputs = [] if node.is_input else tf.nest.flatten(node.keras_inputs)
        read = [self._channels[id(tensor)] for tensor in inputs]
        try:
            found = [self._through(node, read, [tuple(tensor.shape[1:]) for tensor in inputs])]
        except Unfollowed as error:
            self._leave(layer.name, read, str(error))
            found = [self._fixed(layer.name, tensor, str(error)) for tensor in outputs]
        self.outputs[layer.name] = found[-1]
        self._channels.update((id(t), channels) for t, channels in zip(outputs, found, strict=True))

    def _through(self, node: Any, read: list[Channels], shapes: list[tuple[int | None, ...]]) -> Channels:
        """Channels of the only output of a layer.

        Raises:
            Unfollowed: If they do not follow from those of the inputs.
        """
        layer, outputs = node.layer, tf.nest.flatten(node.outputs)
        if node.is_input:
            raise Unfollowed("it is an input of the model")
        rule = RULES.get(type(layer))
        if rule is None:
            kind = "a model inside the model" if isinstance(layer, tf_keras.Model) else type(layer).__name__
            raise Unfollowed(f"channels cannot be followed through {kind}")
        if getattr(layer, "data_format", "channels_last") != "channels_last":
            raise Unfollowed("its data_format is not channels_last")
        if any(not shape or shape[-1] is None for shape in [*shapes, *(t.shape[1:] for t in outputs)]):
            raise Unfollowed("the number of channels is not fixed")
        if len(read) != len(tf.nest.flatten(node.call_args)):
            raise Unfollowed("it is called with constants or named tensors")
        first = layer.name not in self._cuts
        cuts = self._cuts.setdefault(layer.name, Cuts())
        if not first:  # one kernel is used for all of them
            for now, before in zip(read, self._read[layer.name], strict=True):
                self.units.tie(now, before)
        self._read[layer.name] = read
        made = None if first or not makes_channels(layer) else self.outputs[layer.name]
        return rule(Call(layer, read, shapes, tuple(outputs[0].shape[1:]), self.units, cuts, made))

    def _leave(self, layer: str, read: list[Channels], reason: str) -> None:
        """Keeps all channels that a layer reads, and those of earlier uses of it."""
        earlier = self._cuts.pop(layer, Cuts()).arrays()
        for channels in [*read, *earlier]:
            self.units.pin(channels, Pin(layer, reason))

    def _fixed(self, layer: str, tensor: Any, reason: str) -> Channels:
        channels = self.units.new((tensor.shape[-1] or 0) if len(tensor.shape) > 1 else 0)
        self.units.pin(channels, Pin(layer, reason))
        return channels

    def graph(self) -> ChannelGraph:
        """The channels found."""
        of = self.units.of
        outputs = {name: of(channels) for name, channels in self.outputs.items()}
        for cuts in self._cuts.values():
            cuts.weights = {
                name: {axis: of(channels) for axis, channels in axes.items()}
                for name, axes in cuts.weights.items()
            }
            cuts.options = {name: of(channels) for name, channels in cuts.options.items()}
            cuts.products = [(factor, tuple(map(of, arrays))) for factor, arrays in cuts.products]
            if cuts.shape is not None:
                cuts.shape = (cuts.shape[0], of(cuts.shape[1]))
        made = {layer.name: outputs[layer.name] for layer in self._model.layers if makes_channels(layer)}
        shares: dict[int, Counter[str]] = {}
        for name, channels in made.items():
            for unit in channels:
                shares.setdefault(int(unit), Counter())[name] += 1
        groups: dict[tuple[tuple[str, int], ...], list[int]] = {}
        for unit, layers in shares.items():
            if self.units.pin_of(unit) is None:
                groups.setdefault(tuple(layers.items()), []).append(unit)
        whole = {
            name: pin
            for name, channels in made.items()
            if all(self.units.pin_of(int(unit)) for unit in channels)
            and (pin := first_pin(self.units, channels)) is not None
        }
        return ChannelGraph(
            self.units.count(),
            outputs,
            self._cuts,
            [Group(dict(layers), np.array(units)) for layers, units in groups.items()],
            whole,
        )
