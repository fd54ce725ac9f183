"""The sum of vectors of which nobody sees a single one: pairwise masks that cancel out. Needs NumPy alone.

Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving Machine Learning" (2017),
https://eprint.iacr.org/2017/281. What a federation agrees on by public keys and shares of secrets is simulated here:
the seeds of masks come from the seed of the training, and a lost client's are given to the server by the others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.common.training.error import TrainingError

# Integers modulo 2³² or 2¹⁶: arithmetic of the dtype wraps around, as that of the protocol does.
Ring = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

# Of a fixed-point number: 2⁻²² is finer than float32 where weights are about 1.
_FRACTION = 22

# Bytes of the protocol, with 32-byte keys, seeds and shares: each client sends two public keys and gets those of the
# others, sends each other one an encrypted share of two secrets (with a tag of 16 bytes) and gets as many, and sends
# the server a share for each client in the end.
_KEY, _SHARE, _TAG = 32, 32, 16


@dataclass(frozen=True, eq=False)
class FixedPoint:
    """Numbers as integers of a ring.

    Attributes:
        bits: 32 or 16.
        steps: Size of a step for each value, or one for all.
        most: Largest magnitude, in steps, that a client may send; the sum of all clients' must not wrap around.
    """

    bits: int
    steps: Floats
    most: int

    @classmethod
    def fine(cls, clients: int) -> FixedPoint:
        """Of 32 bits, for sums of a number of clients."""
        return cls(32, np.array(2.0**-_FRACTION), (2**31 - 1) // clients)

    @classmethod
    def coarse(cls, largest: Floats, clients: int) -> FixedPoint:
        """Of 16 bits with 127 steps up to the largest value that any client has.

        Args:
            largest: For each value; clients agree on it before they send.
            clients: Of the sum; at most 258, or 127 steps of each would not fit.

        Raises:
            TrainingError: If there are more.
        """
        if clients * 127 > 2**15 - 1:
            raise TrainingError(
                f"federated: secure_sum of int8 updates adds those of at most 258 clients, and a round has {clients}; "
                "lower clients_per_round, or write updates: {compress: none}"
            )
        return cls(16, np.where(largest > 0, largest / 127, 1.0), 127)

    def encode(
        self, values: Floats, random: np.random.Generator | None = None, bounded: bool = False
    ) -> Ring:
        """Values as integers.

        Args:
            values: Of one client.
            random: Source of stochastic rounding; None to cut fractions off, so that a norm never grows.
            bounded: Whether values are within the range but for rounding, which must not leave it.

        Raises:
            TrainingError: If a value is too large.
        """
        scaled = values / self.steps
        whole = np.trunc(scaled) if random is None else np.floor(scaled + random.random(values.shape))
        if bounded:
            whole = np.clip(whole, -self.most, self.most)
        if not (np.abs(whole) <= self.most).all():
            raise TrainingError(
                f"its update has values beyond {self.most} steps of {float(np.max(self.steps)):.3g}, which the secure "
                "sum cannot hold"
            )
        return whole.astype(np.int64).astype(self._dtype)

    def decode(self, total: Ring) -> Floats:
        """A sum of encoded values as numbers."""
        signed = total.astype(np.int32 if self.bits == 32 else np.int16)
        return signed.astype(np.float64) * self.steps

    @property
    def _dtype(self) -> type[np.uint32] | type[np.uint16]:
        return np.uint32 if self.bits == 32 else np.uint16


class Masks:
    """The masks of a round: one for each pair of clients, and one of each client's own."""

    def __init__(self, clients: Sequence[str], seed: Sequence[int], bits: int):
        """Seeds are agreed on.

        Args:
            clients: Those that the round began with.
            seed: Seed of the training, and number of the round.
            bits: Of the ring.
        """
        self._clients = list(clients)
        self._seed = list(seed)
        self._dtype = np.uint32 if bits == 32 else np.uint16

    def mask(self, client: str, values: Ring) -> Ring:
        """What a client sends: its values with all of its masks."""
        own = self._clients.index(client)
        masked = values + self._drawn(own, own, values.size)
        for other in range(len(self._clients)):
            if other != own:
                masked = masked + self._signed(own, other, values.size)
        return masked

    def unmask(self, total: Ring, answered: Collection[str]) -> Ring:
        """The sum of values from the sum of what was sent.

        Masks of pairs cancel out, but for those with clients that did not answer: the others give their seeds to the
        server, and those of their own masks. Of one client, the server never gets both.

        Args:
            total: Sum of what the clients sent.
            answered: These clients.
        """
        lost = [i for i, name in enumerate(self._clients) if name not in answered]
        for own, name in enumerate(self._clients):
            if name not in answered:
                continue
            total = total - self._drawn(own, own, total.size)
            for other in lost:
                total = total - self._signed(own, other, total.size)
        return total

    def _signed(self, own: int, other: int, size: int) -> Ring:
        drawn = self._drawn(min(own, other), max(own, other), size)
        return drawn if own < other else np.zeros_like(drawn) - drawn

    def _drawn(self, first: int, second: int, size: int) -> Ring:
        random = np.random.default_rng([*self._seed, first, second])
        return random.integers(0, np.iinfo(self._dtype).max, size, self._dtype, endpoint=True)


def overhead(clients: int) -> tuple[int, int]:
    """Bytes of keys and shares that one client sends and gets in a round, besides its update.

    Args:
        clients: That the round began with.
    """
    others = clients - 1
    shares = others * (2 * _SHARE + _TAG)
    return 2 * _KEY + shares + clients * _SHARE, others * 2 * _KEY + shares


def total_of(sent: Mapping[str, Ring]) -> Ring:
    """The sum of vectors in their ring."""
    first, *others = sent.values()
    total = first.copy()
    for one in others:
        total += one
    return total
