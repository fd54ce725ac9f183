"""Options of the `prune_channels` step."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from components.common.base.layer_names import matches
from components.common.base.per_layer import from_pairs, refusing_zero, to_pairs
from components.common.base.step_options import TuningOptions

_GOALS = ("ratio", "macs", "parameters")


class ChannelOptions(TuningOptions):
    """Structured pruning: whole filters and units are removed, so that the model is smaller and faster on any runtime.

    The least important channels of each layer go, with all that reads them. By `importance`: l1 and l2, the magnitude
    of a filter, Li et al., "Pruning Filters for Efficient ConvNets" (2017), https://arxiv.org/abs/1608.08710;
    batch_norm, the scale behind it, Liu et al., "Learning Efficient Convolutional Networks through Network Slimming"
    (2017), https://arxiv.org/abs/1708.06519; taylor, the change of the loss, Molchanov et al., "Importance Estimation
    for Neural Network Pruning" (2019), https://arxiv.org/abs/1906.10771; fpgm, the distance to the other filters of the
    layer, He et al., "Filter Pruning via Geometric Median" (2019), https://arxiv.org/abs/1811.00250.
    """

    technique: ClassVar[str] = "prune_channels"

    ratio: float | None = Field(default=None, gt=0, lt=1, description="Share of the channels to remove.")
    macs: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Instead of `ratio`: share of the multiply-accumulate operations of convolutions and dense "
        "layers to keep.",
    )
    parameters: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Instead of `ratio`: share of the parameters to keep.",
    )
    per_layer: Annotated[
        dict[
            str,
            Annotated[
                float, Field(gt=0, lt=1), BeforeValidator(refusing_zero("0 would leave these layers whole"))
            ],
        ],
        BeforeValidator(from_pairs),
        PlainSerializer(to_pairs),
    ] = Field(
        default={},
        description="Name pattern of layers → share of their channels to remove, whatever the others lose; the first "
        "matching pattern counts. Layers whose outputs are added share it.",
    )
    scope: Literal["layer", "global"] = Field(
        default="layer",
        description="layer: every layer loses the same share; global: the least important channels of all layers are "
        "removed, so layers lose different shares, each at most nine tenths.",
    )
    importance: Literal["l1", "l2", "batch_norm", "taylor", "fpgm"] = Field(
        default="l1",
        description="Which channels are removed. l1, l2: the filters with the smallest sum of magnitudes, or of "
        "squares; "
        "batch_norm: those that BatchNormalization scales down most; taylor: those whose removal changes the loss "
        "least, by its gradient on training examples; fpgm: those nearest to the layer's other filters.",
    )
    rounds: int = Field(
        default=1,
        ge=1,
        le=100,
        description="Number of rounds in which channels are removed, each followed by an equal part of the training.",
    )
    multiple_of: int = Field(
        default=8,
        ge=1,
        le=1024,
        description="The remaining number of channels is a multiple of this, because runtimes compute that many at a "
        "time; in a layer with fewer than twice as many channels, a multiple of its half, fourth and so on.",
    )
    include: list[str] = Field(
        default=["*"], min_length=1, description="Name patterns of layers to remove channels from."
    )
    exclude: list[str] = Field(
        default=[],
        description="Name patterns of layers that keep all channels, with the layers whose outputs are added to "
        "theirs.",
    )
    epochs: int | None = Field(
        default=3, ge=1, description="Passes over the training examples, in all rounds together."
    )

    def ratio_of(self, layers: list[str]) -> float | None:
        """The share that `per_layer` says for layers that share channels; None if it says none."""
        for pattern, ratio in self.per_layer.items():
            if any(matches(layer, [pattern]) for layer in layers):
                return ratio
        return None

    @model_validator(mode="after")
    def _one_goal(self) -> ChannelOptions:
        written = [name for name in _GOALS if getattr(self, name) is not None]
        if not written:
            raise ValueError(
                "how much to remove is missing; write e.g. ratio: 0.5, or macs: 0.5 for half of the operations"
            )
        if len(written) > 1:
            raise ValueError(f"{' and '.join(written)} both say how much to remove; write one of them")
        if self.steps is not None and self.steps < self.rounds:
            raise ValueError(
                f"steps ({self.steps}) are fewer than {self.rounds} rounds, each of which trains; write more steps or "
                "fewer rounds"
            )
        return self
