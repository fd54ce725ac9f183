"""Differential privacy of clients: clipped updates, noise on their sum, and the epsilon that this gives.

McMahan et al., "Learning Differentially Private Recurrent Language Models" (2018), https://arxiv.org/abs/1710.06963.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def clipped(update: Floats, most: float) -> Floats:
    """A vector in the direction of an update, at most as long as `most` (L2)."""
    length = float(np.linalg.norm(update))
    return update if length <= most else update * (most / length)


def noise(size: int, clip: float, multiplier: float, random: np.random.Generator) -> Floats:
    """Gaussian noise for a sum of clipped updates, whose standard deviation is `multiplier` times `clip`."""
    return random.normal(0.0, multiplier * clip, size)


def sampled(clients: Sequence[str], probability: float, random: np.random.Generator) -> list[str]:
    """Clients, each with the same probability and whatever the others are: the sampling that epsilon is known of.

    The number of them differs from round to round.
    """
    chosen = random.random(len(clients)) < probability
    return [client for client, taken in zip(clients, chosen, strict=True) if taken]


def epsilon(multiplier: float, probability: float, rounds: int, delta: float) -> float:
    """The ε of (ε, δ)-differential privacy of clients: whoever sees the model can hardly say whether one took part.

    Computed by Google's dp-accounting from the privacy loss distribution of the composed rounds; neighbours differ
    by one client that is added or removed.

    Args:
        multiplier: Standard deviation of the noise, as a multiple of the clipping norm.
        probability: That a client takes part in a round.
        rounds: Rounds.
        delta: δ.

    Returns:
        Infinity without noise.
    """
    if multiplier == 0:
        return math.inf
    import dp_accounting
    from dp_accounting import pld

    event = dp_accounting.PoissonSampledDpEvent(probability, dp_accounting.GaussianDpEvent(multiplier))
    accountant = pld.PLDAccountant()
    accountant.compose(event, rounds)
    return float(accountant.get_epsilon(delta))
