"""What the server sends to clients at the beginning of a round. Needs NumPy alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from components.federated_trainer import compression
from components.federated_trainer.aggregation import Vector
from components.federated_trainer.params import Updates

_FLOAT = 4


class Broadcast:
    """The server's model as clients have it: all of them the same one.

    Compressed, it is the change since the last round, added to what was sent before. What rounding leaves is part of
    the next change, so that nothing is lost, only late (error feedback on the server): Tang et al., "DoubleSqueeze"
    (2019), https://arxiv.org/abs/1905.05957; Philippenko and Dieuleveut, "Preserved central model for faster
    bidirectional compression in distributed settings" (2021), https://arxiv.org/abs/2102.12528.
    """

    def __init__(self, options: Updates, sizes: Sequence[int]):
        """Nothing was sent yet.

        Args:
            options: Whether it is compressed.
            sizes: Number of values of each tensor.
        """
        self._compressed = options.broadcast == "int8"
        self._sizes = sizes
        self._whole = _FLOAT * sum(sizes)
        self._sent: Vector | None = None
        # Bytes of all changes so far, after each round; client → the round that it was in last.
        self._lengths = [0]
        self._last: dict[str, int] = {}

    def send(
        self, weights: Vector, clients: Sequence[str], random: np.random.Generator
    ) -> tuple[Vector, int]:
        """Sends the model.

        Args:
            weights: The server's.
            clients: Those of the round. One that was not in the rounds before also gets their changes, or the whole
                model if that is shorter, as on its first time.
            random: Source of rounding.

        Returns:
            The weights that these clients begin with, and the bytes for all of them together.
        """
        if not self._compressed:
            return weights, len(clients) * self._whole
        if self._sent is None:
            self._sent = weights.copy()
            self._lengths.append(self._whole)
        else:
            change = compression.int8(weights - self._sent, self._sizes, random)
            self._sent = self._sent + change.update
            self._lengths.append(self._lengths[-1] + change.bytes)
        now = len(self._lengths) - 1
        bytes_ = 0
        for client in clients:
            missed = self._lengths[-1] - self._lengths[self._last.get(client, 0)]
            bytes_ += min(missed, self._whole)
            self._last[client] = now
        return self._sent, bytes_
