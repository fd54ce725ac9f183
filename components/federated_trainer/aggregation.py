"""What the server makes of updates: their weighted mean, and a step of its own with it. Needs NumPy alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from components.federated_trainer.params import Strategy

# Weights of a model, or their change, one after another.
Vector = npt.NDArray[np.float32]


class WeightedMean:
    """Σ wₖ·uₖ / Σ wₖ, of which only the sums are in memory."""

    def __init__(self, size: int):
        self._sum = np.zeros(size, np.float64)
        self._weight = 0.0

    def add(self, update: npt.NDArray[np.floating[Any]], weight: float) -> None:
        """Adds an update."""
        self._sum += weight * update.astype(np.float64)
        self._weight += weight

    def total(self) -> tuple[npt.NDArray[np.float64], float]:
        """The weighted sum of what was added, and the sum of weights."""
        return self._sum, self._weight

    def value(self) -> Vector:
        """The mean of what was added."""
        return (self._sum / self._weight).astype(np.float32)


class Server:
    """The server's optimizer: McMahan et al. (2017), https://arxiv.org/abs/1602.05629; Hsu et al. (2019),
    https://arxiv.org/abs/1909.06335; Reddi et al. (2021), https://arxiv.org/abs/2003.00295.
    """

    def __init__(self, strategy: Strategy, trained: int):
        """Nothing has been averaged yet.

        Args:
            strategy: Which optimizer.
            trained: Length of the first part of each vector, which training changes; the rest are statistics of
                BatchNormalization, of which the mean is taken whatever the strategy is.
        """
        self._step = _STEPS[strategy.kind]
        self._strategy = strategy
        self._trained = trained
        self._mean = np.zeros(trained, np.float64)
        # Reddi et al., algorithm 2: begins at τ² or above.
        self._square = np.full(trained, strategy.tau**2, np.float64)

    def change(self, mean: Vector) -> Vector:
        """The change of the server's model in a round.

        Args:
            mean: Weighted mean of the clients' updates.
        """
        own = self._strategy.server_rate() * self._step(self, mean[: self._trained].astype(np.float64))
        return np.concatenate([own.astype(np.float32), mean[self._trained :]])

    def _plain(self, mean: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return mean

    def _momentum(self, mean: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        self._mean = self._strategy.momentum * self._mean + mean
        return self._mean

    def _adam(self, mean: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        first, second = self._strategy.beta_1, self._strategy.beta_2
        self._mean = first * self._mean + (1 - first) * mean
        self._square = second * self._square + (1 - second) * mean**2
        return self._mean / (np.sqrt(self._square) + self._strategy.tau)


_Step = Callable[[Server, npt.NDArray[np.float64]], npt.NDArray[np.float64]]
_STEPS: dict[str, _Step] = {
    "fedavg": Server._plain,
    "fedprox": Server._plain,
    "fedavgm": Server._momentum,
    "fedadam": Server._adam,
}
