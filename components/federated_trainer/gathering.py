"""What the server gathers in a round: plain updates, or masked ones; clipped and with noise if that is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.federated_trainer import compression, privacy, secure_sum
from components.federated_trainer.aggregation import Vector, WeightedMean
from components.federated_trainer.params import Federated
from components.federated_trainer.secure_sum import FixedPoint, Masks, Ring

Floats = npt.NDArray[np.float64]

_FLOAT = 4
# Of int8 updates with clipping, values are cut off beyond this many times the root mean square of the longest update:
# a range that depends on no client's data, whose rounding errors are 3 % of it.
_RANGE = 8


@dataclass(frozen=True)
class Plan:
    """A round before anybody trains.

    Attributes:
        clients: Those that were drawn → number of their examples.
        seed: Seed of the training, and number of the round.
        expected: Number of clients that a round has in the mean.
        sizes: Number of values of each tensor.
    """

    clients: Mapping[str, int]
    seed: Sequence[int]
    expected: int
    sizes: Sequence[int]


class Gathering:
    """The updates of one round."""

    def __init__(self, plan: Plan, options: Federated):
        """Nothing was sent yet.

        Args:
            plan: The round.
            options: How to send and to add.
        """
        self._plan = plan
        self._options = options
        self._size = sum(plan.sizes)
        self._clip = options.privacy.clip if options.privacy else None
        self._largest = max(plan.clients.values(), default=1)
        self._adding = _Masked(plan, options) if options.secure_sum else WeightedMean(self._size)
        own = secure_sum.overhead(len(plan.clients)) if options.secure_sum else (0, 0)
        self._more_up, self._more_down = own

    def bytes_down(self) -> int:
        """Bytes that the server sends to all clients of the round, besides its weights."""
        each = self._more_down
        if isinstance(self._adding, _Masked):
            each += self._adding.agreed_bytes
        return len(self._plan.clients) * each

    def add(
        self, client: str, update: Vector, residual: Vector | None, random: np.random.Generator
    ) -> tuple[int, Vector | None]:
        """Takes what a client sends.

        Args:
            client: Its name.
            update: The change of its model.
            residual: What error feedback has left of its earlier updates; None if that is nothing.
            random: Source of rounding.

        Returns:
            Bytes that it sends, and what is left for its next update; None if that is nothing.
        """
        shortened = self._clipped(update.astype(np.float64)).astype(np.float32)
        weight = 1.0 if self._clip is not None else self._plan.clients[client] / self._largest
        if isinstance(self._adding, _Masked):
            return self._adding.add(client, shortened, weight, random) + self._more_up, None
        message, left = compression.compress(
            shortened, self._plan.sizes, self._options.updates, residual, random
        )
        # Rounding, and what was left, may have made it longer.
        self._adding.add(self._clipped(message.update.astype(np.float64)), weight)
        return message.bytes, left

    def _clipped(self, update: Floats) -> Floats:
        return update if self._clip is None else privacy.clipped(update, self._clip)

    def mean(self) -> Vector:
        """The mean of what was sent; with privacy that of as many clients as a round has in the mean, and noise."""
        total, weight = self._adding.total()
        asked = self._options.privacy
        if asked is not None and asked.clip is not None:
            weight = float(self._plan.expected)
            random = np.random.default_rng([*self._plan.seed, len(self._plan.sizes)])
            total = total + privacy.noise(self._size, asked.clip, asked.noise, random)
        return (total / weight).astype(np.float32)


class _Masked:
    """Updates that are added under masks."""

    def __init__(self, plan: Plan, options: Federated):
        self._sizes = plan.sizes
        self._count = len(plan.clients)
        self._clip = options.privacy.clip if options.privacy else None
        self._coarse = options.updates.compress == "int8"
        self._masks = Masks(list(plan.clients), plan.seed, 16 if self._coarse else 32)
        self._numbers = None if self._coarse else FixedPoint.fine(self._count)
        if self._coarse and self._clip is not None:
            size = sum(plan.sizes)
            self._numbers = FixedPoint.coarse(np.array(_RANGE * self._clip / np.sqrt(size)), self._count)
        self._sent: Ring | None = None
        # Until clients have agreed on a range.
        self._waiting: list[tuple[str, Floats, np.random.Generator]] = []
        self._weights: dict[str, float] = {}

    @property
    def agreed_bytes(self) -> int:
        """Bytes of the range that clients agree on, in each direction."""
        return _FLOAT * len(self._sizes) if self._coarse and self._clip is None else 0

    def add(self, client: str, update: Vector, weight: float, random: np.random.Generator) -> int:
        """Takes an update; returns the bytes of the message."""
        values = weight * update.astype(np.float64)
        if self._numbers is None:
            self._waiting.append((client, values, random))
        else:
            self._send(client, values, self._numbers, random)
        self._weights[client] = weight
        return update.size * (2 if self._coarse else 4) + self.agreed_bytes

    def total(self) -> tuple[Floats, float]:
        """The sum of weighted updates, and that of weights."""
        numbers = self._numbers
        if numbers is None:
            tops = np.max([self._tops(values) for _, values, _ in self._waiting], axis=0)
            numbers = FixedPoint.coarse(np.repeat(tops, self._sizes), self._count)
            for client, values, random in self._waiting:
                self._send(client, values, numbers, random)
        size = sum(self._sizes)
        if self._sent is None:
            return np.zeros(size), 0.0
        unmasked = self._masks.unmask(self._sent, self._weights)
        return numbers.decode(unmasked), sum(self._weights.values())

    def _send(self, client: str, values: Floats, numbers: FixedPoint, random: np.random.Generator) -> None:
        if not self._coarse:
            encoded = numbers.encode(values)
        else:
            top = numbers.most * numbers.steps
            encoded = numbers.encode(np.clip(values, -top, top), random, bounded=True)
            if self._clip is not None:  # rounding may have made it longer
                encoded = numbers.encode(privacy.clipped(numbers.decode(encoded), self._clip))
        masked = self._masks.mask(client, encoded)
        self._sent = masked if self._sent is None else self._sent + masked

    def _tops(self, values: Floats) -> Floats:
        """Largest magnitude in each tensor."""
        ends = np.cumsum(self._sizes)[:-1]
        return np.array([np.abs(part).max(initial=0.0) for part in np.split(values, ends)])
