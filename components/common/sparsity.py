"""What pruning was asked for must hold from then on."""

from __future__ import annotations

# Half a point: rounding to whole weights moves small layers by less, losing a mask by far more.
TOLERANCE = 0.005


class LostSparsityError(Exception):
    """A model has fewer zeros than it was asked for; the message names the layers."""


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
