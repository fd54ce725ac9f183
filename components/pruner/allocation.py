"""How many weights of each layer become zero, if a share of all of them is asked for.

Layer-adaptive magnitude pruning (LAMP) ranks the weights of all layers together: Lee et al., "Layer-adaptive Sparsity
for the Magnitude-based Pruning" (2021), https://arxiv.org/abs/2010.07611. A layer whose weights are few or alike in
magnitude loses fewer of them than a wide one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def scores(kernel: NDArray[Any]) -> NDArray[np.float64]:
    """How much of what is left of a layer each weight is, by squares, when all smaller ones are gone.

    Args:
        kernel: Weights of any shape.

    Returns:
        As many values from 0 to 1, in the order of the magnitudes; the greatest weight has 1.
    """
    squares = np.sort(np.square(kernel, dtype=np.float64), axis=None)
    left = np.cumsum(squares[::-1])[::-1]
    return np.divide(squares, left, out=np.zeros_like(squares), where=left > 0)


def shares(kernels: Mapping[str, NDArray[Any]], sparsity: float) -> dict[str, float]:
    """The share of each layer's weights that become zero.

    Args:
        kernels: Layer → its weights.
        sparsity: Share of all weights together.

    Returns:
        Layer → a share of at least 0 and below 1: each layer keeps its greatest weight.
    """
    ranked = {name: scores(kernel) for name, kernel in kernels.items()}
    together = np.sort(np.concatenate(list(ranked.values())))
    zeros = round(sparsity * together.size)
    if not zeros:
        return dict.fromkeys(kernels, 0.0)
    last = together[zeros - 1]
    found = {}
    for name, own in ranked.items():
        gone = min(int(np.searchsorted(own, last, side="right")), own.size - 1)
        found[name] = gone / own.size
    return found
