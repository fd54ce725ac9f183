"""The weights of a layer, however they were read."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.common.base.layer_names import plain_name
from components.common.models import layer_weights
from components.common.tflite.kernel import Kernel
from pipeline.inspection.contents import Layer

# Variables that TFMOT's wrappers add to a layer, by scope and by their own names.
WRAPPER_SCOPE = re.compile(r"(quant_|prune_low_magnitude_|cluster_|quantize_layer)")
_WRAPPER_VARIABLE = re.compile(
    r"(optimizer_step|pruning_step|mask|threshold|.*_(min|max)|cluster_centroids_.*|pulling_indices_.*"
    r"|original_weights_.*)"
)


@dataclass(frozen=True, eq=False)
class Weight:
    """A variable: its name with scopes, as Keras gives it, and its values."""

    name: str
    values: npt.NDArray[Any]

    def short_name(self) -> str:
        """Its name without scopes, such as "kernel"."""
        return self.name.split(":")[0].rpartition("/")[2]


def own(weights: Iterable[Weight]) -> list[Weight]:
    """The weights without those that TFMOT's wrappers add."""
    kept = []
    for weight in weights:
        *scopes, name = weight.name.split(":")[0].split("/")
        if not (any(WRAPPER_SCOPE.match(scope) for scope in scopes) and _WRAPPER_VARIABLE.fullmatch(name)):
            kept.append(weight)
    return kept


def by_scope(weights: Iterable[Weight]) -> list[Layer]:
    """The layers of a model of which only the names of variables are known: a scope is a layer."""
    scopes: dict[str, list[Weight]] = defaultdict(list)
    for weight in own(weights):
        scopes[weight.name.rpartition("/")[0]].append(weight)
    return [layer(plain_name(scope), "", found, with_channels=False) for scope, found in scopes.items()]


def layer(name: str, kind: str, weights: list[Weight], with_channels: bool = True) -> Layer:
    """The content of a layer's weights.

    Args:
        name: Name of the layer.
        kind: Its class; "" if it is not known.
        weights: Its weights, at least one.
        with_channels: Whether to count distinct values by channel, which needs the class.
    """
    kernel = next(
        (w for short in layer_weights.KERNEL_NAMES for w in weights if w.short_name() == short), None
    )
    values = None if kernel is None else kernel.values
    return Layer(
        name=name,
        kind=kind,
        shape=None if values is None else tuple(values.shape),
        dtype=str((weights[0].values if values is None else values).dtype).replace("object", "string"),
        parameters=count(weights),
        bytes=sum(weight.values.nbytes for weight in weights if weight.values.dtype != object),
        sparsity=None if values is None or not values.size else round(float(np.mean(values == 0)), 6),
        unique=None if values is None else int(np.unique(values).size),
        unique_per_channel=_per_channel(name, kind, kernel) if kernel and with_channels else None,
    )


def _per_channel(name: str, kind: str, weight: Weight) -> int | None:
    if not weight.values.size:
        return None
    try:
        kernel: Kernel = layer_weights.laid_out(name, weight.short_name(), kind, weight.values)
        return kernel.unique_per_channel()
    except ValueError:  # of another rank than its class has
        return None


def count(weights: Iterable[Weight]) -> int:
    """Number of values."""
    return sum(int(weight.values.size) for weight in weights)
