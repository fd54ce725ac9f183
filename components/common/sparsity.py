"""What pruning was asked for must hold from then on."""

from __future__ import annotations

import math

# Half a point; losing a mask costs far more.
TOLERANCE = 0.005


class LostSparsityError(Exception):
    """A model has fewer zeros than it was asked for; the message names the layers."""


def reachable(sparsity: float, weights: int) -> float:
    """The sparsity to hold a layer to: in one of few weights, whole ones may miss the target by more.

    Args:
        sparsity: The target.
        weights: Number of the layer's weights.

    Returns:
        The target, or what the next smaller number of zeros gives where that misses by over TOLERANCE.
    """
    whole = math.floor(sparsity * weights + 1e-9) / weights
    return sparsity if whole >= sparsity - TOLERANCE else whole


def refuse_lost_sparsity(measured: dict[str, float], wanted: dict[str, float]) -> None:
    """Raises a LostSparsityError where a layer is less sparse than wanted, or was not found."""
    lost = []
    for layer, target in sorted(wanted.items()):
        if layer not in measured:
            lost.append(f"{layer}: {target:.1%} wanted, layer not found")
        elif measured[layer] < target - TOLERANCE:
            lost.append(f"{layer}: {target:.1%} wanted, {measured[layer]:.1%} got")
    if lost:
        raise LostSparsityError("sparsity of " + "; ".join(lost))
