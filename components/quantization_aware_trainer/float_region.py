"""Which layers have to stay in float if others do.

What has a kernel and reads something without fake quantization stays in float. TFMOT puts fake quantization
on inputs that an annotated layer reads, behind annotated layers, and behind a layer that is not annotated
if it knows the layer and an annotated one reads nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import tf_keras

from components.common.models.layer_weights import has_kernel
from components.common.tfmot.wiring import PASSING, Wiring

_layers = tf_keras.layers


def stay_in_float(wiring: Wiring, names: Iterable[str], known: Callable[[str], bool]) -> set[str]:
    """Names of layers that stay in float if some are excluded, with those that then have to be as well.

    Args:
        wiring: Wiring of the model, as `prepare` returns it.
        names: Layers to leave in float.
        known: Whether TFMOT has a way to quantize a layer.
    """
    region = set(names)
    while more := _followers(wiring, region, known):
        region |= more
    return region


def _followers(wiring: Wiring, region: Collection[str], known: Callable[[str], bool]) -> set[str]:
    """Layers outside of a region in float that are in float because of it."""

    def quantized(name: str, reader: str) -> bool:
        """Whether there is fake quantization on what a layer gives to another one."""
        if not wiring.reads.get(name):  # an input
            return any(other not in region for other in wiring.readers[name])
        if type(wiring.layers[name]).__name__ in PASSING:
            return all(quantized(read, name) for read in wiring.reads[name])
        only = reader not in region and wiring.reads[reader] == [name] and wiring.calls[reader] == 1
        return name not in region or (only and known(name))

    def follows(name: str, layer: tf_keras.layers.Layer) -> bool:
        reads = wiring.reads[name]
        if isinstance(layer, _layers.BatchNormalization):  # would be folded into what it reads
            return any(read in region for read in reads)
        return has_kernel(layer) and not all(quantized(read, name) for read in reads)

    return {name for name, layer in wiring.layers.items() if name not in region and follows(name, layer)}
