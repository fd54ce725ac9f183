"""The parts of a layer that follow its channels: weights, options and arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from components.channel_pruner.units import Channels

# unit → whether it is left.
Alive = npt.NDArray[np.bool_]


@dataclass
class Cuts:
    """The parts of a layer that go with each channel. The arrays hold units once the graph is traced.

    Attributes:
        weights: Attribute of the layer that holds a weight → its axis → the channel of each place of that axis.
        options: Key of the layer's config → channels that it counts.
        shape: Target shape of a Reshape whose last axis the channels are; None for other layers.
        products: Multiply-accumulate operations of one example: a factor, and what the numbers of channels that are
            left are multiplied with it.
    """

    weights: dict[str, dict[int, Channels]] = field(default_factory=dict)
    options: dict[str, Channels] = field(default_factory=dict)
    shape: tuple[tuple[int, ...], Channels] | None = None
    products: list[tuple[int, tuple[Channels, ...]]] = field(default_factory=list)

    def arrays(self) -> list[Channels]:
        """All arrays of channels."""
        by_weight = [array for axes in self.weights.values() for array in axes.values()]
        by_product = [array for _, arrays in self.products for array in arrays]
        shape = [] if self.shape is None else [self.shape[1]]
        return [*by_weight, *self.options.values(), *shape, *by_product]

    def macs(self, alive: Alive) -> int:
        """Multiply-accumulate operations for one example."""
        return sum(
            factor * math.prod(int(alive[array].sum()) for array in arrays)
            for factor, arrays in self.products
        )

    def config(self, config: dict[str, Any], alive: Alive) -> dict[str, Any]:
        """A layer's config with the numbers of channels that are left."""
        changed: dict[str, Any] = {key: int(alive[array].sum()) for key, array in self.options.items()}
        if self.shape is not None:
            leading, channels = self.shape
            changed["target_shape"] = (*leading, int(alive[channels].sum()))
        return {**config, **changed}

    def axes_of(self, layer: Any, weight: Any) -> dict[int, Channels]:
        """Axes of one of a layer's weights that channels are along."""
        found = (
            axes for attribute, axes in self.weights.items() if getattr(layer, attribute, None) is weight
        )
        return next(found, {})

    def parameters(self, layer: Any, alive: Alive) -> int:
        """Number of a layer's weights that are left."""
        return sum(
            math.prod(
                int(alive[axes[axis]].sum()) if axis in axes else size
                for axis, size in enumerate(weight.shape)
            )
            for weight in layer.weights
            for axes in [self.axes_of(layer, weight)]
        )
