"""Takes a kernel back to its zeros after a training step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from components.common.models.invariants import Invariant


def keep_zeros(_: Invariant, values: NDArray[Any]) -> Callable[[Any], Any]:
    """Puts zeros back; see `Invariant.projection`."""
    mask = (values != 0).astype(values.dtype)
    return lambda weights: weights * mask
