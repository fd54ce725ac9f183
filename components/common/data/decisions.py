"""Decisions of classifiers: the class of greatest probability, or of a sigmoid whether it is 0.5 or more."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[Any]


def share_of_same_decisions(baseline: Floats, candidate: Floats) -> float:
    """The share of decisions that two models have in common.

    Args:
        baseline: Probabilities, (examples, …, units); with one unit, of a sigmoid. Units that do not add up to 1 are
            sigmoids, each a decision.
        candidate: The same of the other model.
    """
    return float(np.mean(same_decisions(baseline, candidate)))


def same_decisions(baseline: Floats, candidate: Floats) -> Floats:
    """Whether two models decide alike, decision by decision; arguments as `share_of_same_decisions` takes them."""
    if excludes(baseline):
        return baseline.argmax(axis=-1) == candidate.argmax(axis=-1)
    return (baseline >= 0.5) == (candidate >= 0.5)


def excludes(probabilities: Floats) -> bool:
    """Whether one class excludes the others: float32 probabilities of a softmax add up to 1."""
    return probabilities.shape[-1] > 1 and bool(
        np.allclose(probabilities.sum(axis=-1, dtype=np.float64), 1, atol=1e-3)
    )
