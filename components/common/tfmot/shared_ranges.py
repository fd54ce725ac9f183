"""Ranges of activations that must be equal, because TFLite computes with one scale on all sides of an operator.

A Concatenate, a pooling or a resizing copies integers, so that inputs and output need the same scale. With a range for
each, as TFMOT has them, the converter refuses the model or rounds once more than was trained:
https://github.com/tensorflow/model-optimization/issues/1053 and /622.
"""

from __future__ import annotations

from collections.abc import Sequence

import tf_keras

from components.common.tfmot.ranges import Range, ranges_of
from components.common.tfmot.wiring import PASSING, Wiring

_ONE_SCALE = ("Concatenate", "AveragePooling1D", "AveragePooling2D", "UpSampling2D")
# Softmax passes in that it needs no fake quantization behind it, but its output has a scale of its own.
_COPYING = frozenset(PASSING) - {"Softmax"}


def shared_ranges(model: tf_keras.Model) -> list[list[Range]]:
    """Groups of two or more ranges that have to be equal in the file.

    Args:
        model: Quantization-aware; a Sequential model has none but those of poolings.
    """
    behind = {found.layer: found for found in ranges_of(model) if not found.before_activation}
    wiring = Wiring(model)

    def scales(name: str) -> list[Range]:
        """The ranges that give the output of a layer its scale; several behind a Concatenate without one."""
        if name in behind:
            return [behind[name]]
        if _kind(wiring.layers.get(name)) in (*_COPYING, *_ONE_SCALE):
            return [found for read in wiring.reads[name] for found in scales(read)]
        return []

    groups: list[dict[str, Range]] = []
    for name, layer in wiring.layers.items():
        if _kind(layer) in _ONE_SCALE:
            met = [found for each in (name, *wiring.reads[name]) for found in scales(each)]
            groups = _joined(groups, {found.tensor: found for found in met})
    return [list(group.values()) for group in groups if len(group) > 1]


def _kind(layer: tf_keras.layers.Layer | None) -> str:
    return type(getattr(layer, "layer", layer)).__name__


def _joined(groups: Sequence[dict[str, Range]], group: dict[str, Range]) -> list[dict[str, Range]]:
    """Groups with one more, which takes in those that it has a range in common with."""
    apart = [other for other in groups if not other.keys() & group.keys()]
    for other in groups:
        if other.keys() & group.keys():
            group = {**other, **group}
    return [*apart, group]


def unite(groups: Sequence[Sequence[Range]]) -> None:
    """Widens the ranges of each group to the least that holds all of them."""
    for group in groups:
        ends = [found.read() for found in group]
        low, high = min(low for low, _ in ends), max(high for _, high in ends)
        for found, before in zip(group, ends, strict=True):
            if before != (low, high):
                found.set(low, high)
