"""The values of a kernel that invariants leave free: what a client trains and sends of a sparse or clustered layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.common.models.invariants import Invariant, zero_share
from components.federated_trainer.aggregation import Vector

_BYTE = 8


@dataclass(frozen=True, eq=False)
class FreeValues:
    """Which weights of a kernel are zero for good, and which share a value.

    Server and clients both know this, so that it holds in every average: neither zeros nor copies are sent.

    Attributes:
        of: Number of the free value that each weight has, in the kernel's shape; −1 for a zero.
        first: Index of a weight that has it, for each free value.
        bits: For each weight, to tell clients all this.
    """

    of: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    bits: int

    @classmethod
    def within(cls, values: npt.NDArray[Any], asked: Sequence[Invariant]) -> FreeValues | None:
        """The free values of a kernel.

        Args:
            values: The kernel, which keeps what was asked for.
            asked: Invariants of its layer.

        Returns:
            None if all weights are free.
        """
        sparse = zero_share(asked) > 0
        clustered = [one for one in asked if one.distinct_values() is not None]
        if not sparse and not clustered:
            return None
        flat = values.ravel()
        chosen = flat != 0 if sparse else np.ones(flat.size, bool)
        of = np.full(flat.size, -1, np.int64)
        if not clustered:
            of[chosen] = np.arange(chosen.sum())
            return cls(of.reshape(values.shape), np.flatnonzero(chosen), 1)
        # Output channels come last in the kernels that are clustered per channel.
        alone = all(one.one_scale() for one in clustered)
        channels = (
            np.zeros(flat.size) if alone else np.broadcast_to(np.arange(values.shape[-1]), values.shape)
        )
        pairs = np.stack([channels.ravel()[chosen], flat[chosen]], axis=1)
        found, first, of_chosen = np.unique(pairs, axis=0, return_index=True, return_inverse=True)
        of[chosen] = of_chosen.ravel()
        most = np.unique(found[:, 0], return_counts=True)[1].max(initial=1)
        bits = max(1, math.ceil(math.log2(most + sparse)))
        return cls(of.reshape(values.shape), np.flatnonzero(chosen)[first], bits)

    @property
    def count(self) -> int:
        """Number of free values."""
        return int(self.first.size)

    @property
    def bytes(self) -> int:
        """Length of a message that says which weight has which free value."""
        return -(-self.bits * self.of.size // _BYTE)

    def read(self, values: npt.NDArray[Any]) -> Vector:
        """The free values of a kernel that keeps what was asked for."""
        return values.ravel()[self.first].astype(np.float32)

    def spread(self, values: Vector) -> Vector:
        """The kernel with these free values."""
        return np.append(values, np.float32(0))[self.of]
