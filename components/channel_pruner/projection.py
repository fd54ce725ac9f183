"""Keeps a kernel's channels after a training step, which cannot change their number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from components.common.models.invariants import Invariant


def same(_: Invariant, values: NDArray[Any]) -> Callable[[Any], Any]:
    """The kernel as it is; see `Invariant.projection`."""
    return lambda weights: weights
