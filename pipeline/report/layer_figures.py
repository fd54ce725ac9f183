"""Figures of each layer of a file: its bytes, and a figure for each kind of invariant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from components.common.base.quantities import bytes_text
from components.common.models.invariants import Invariant
from components.measurer.file_facts import Layer
from components.registry import layer_figures

BYTES_AXIS = {"tickformat": "~s", "ticksuffix": "B"}


@dataclass(frozen=True)
class LayerFigure:
    """A figure of layers.

    Attributes:
        title: Its name.
        description: What a chart of it shows.
        value: The figure of a layer; None if the layer has none.
        text: The value for people.
        axis: Options of the chart's axis, as Plotly takes them.
    """

    title: str
    description: str
    value: Callable[[Layer], float | None]
    text: Callable[[float], str]
    axis: dict[str, Any]


def layer_bytes(layer: Layer) -> float:
    """Bytes of a layer's weights as they are stored, without scales and packing."""
    bits = "".join(character for character in layer.dtype if character.isdigit())
    return layer.weights * int(bits or 8) / 8


_SIZE = LayerFigure(
    "Size",
    "Bytes of each layer's weights, without scales.",
    layer_bytes,
    bytes_text,
    {"type": "log", "dtick": 1, "title": "weights, logarithmic", **BYTES_AXIS},
)


def _figure(name: str, kind: type[Invariant]) -> LayerFigure:
    share = kind.scale == "share"
    scale = (
        {"range": [0, 1], "tickformat": ".0%"} if share else {"type": "log", "dtick": 1, "tickformat": "~s"}
    )
    title = kind.title[0].upper() + kind.title[1:]
    return LayerFigure(
        title,
        f"{title}, layer by layer.",
        lambda layer: layer.figure(name),
        kind.layer_text,
        {**scale, "title": kind.title if share else f"{kind.title}, logarithmic"},
    )


def figures() -> list[LayerFigure]:
    """Every figure, in the order of the page."""
    return [_SIZE, *(_figure(name, kind) for name, kind in layer_figures().items())]
