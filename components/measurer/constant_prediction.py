"""Predictions without any knowledge of an example, which a model that has learnt something must beat."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from components.measurer.comparison import Chance

_MARGIN = 0.02


def constants(labels: NDArray[np.float64], classes: bool) -> list[NDArray[np.float64]]:
    """Constant predictions, the one that most metrics are best at first.

    Args:
        labels: (examples, outputs): for classes, 0 or 1 for each of them.
        classes: Whether labels are classes. Returns:
        (outputs,) arrays: the mean of the labels, which are shares of classes, then the median of amounts, or all
        negative and all positive.
    """
    mean = labels.mean(axis=0)
    if classes:
        return [mean, np.zeros_like(mean), np.ones_like(mean)]
    return [mean, np.median(labels, axis=0)]


def chance(
    labels: NDArray[np.float64],
    classes: bool,
    ascending: bool,
    value: Callable[[NDArray[np.float32]], float | None],
) -> Chance | None:
    """The metric of a constant prediction, and of a perfect one.

    Args:
        labels: (examples, outputs): for classes, 0 or 1 for each of them.
        classes: Whether labels are classes. ascending: Whether a higher value of the metric is better.
        value: Predictions (examples, outputs) → the metric; None or NaN if it is not defined.

    Returns:
        With the metric of the best constant prediction, or of the worst if the best is as good as a perfect one: always
        "positive" has a recall of 1. None if neither says anything.
    """
    perfect = value(labels.astype(np.float32))
    found = []
    for constant in constants(labels, classes):
        one = value(np.broadcast_to(constant, labels.shape).astype(np.float32))
        if one is not None and np.isfinite(one):
            found.append(one)
    if perfect is None or not np.isfinite(perfect) or not found:
        return None
    best, worst = (max, min) if ascending else (min, max)
    for chosen in (best(found), worst(found)):
        if not np.isclose(chosen, perfect, rtol=0, atol=1e-6):
            return Chance(chosen, perfect, _margin(labels, classes))
    return None


def _margin(labels: NDArray[np.float64], classes: bool) -> float:
    """Two standard errors of an accuracy, or of an area under the curve, by chance: 2 / √n of two even classes.

    Of two uneven ones, as many examples count as two even ones would need for the same variance.
    """
    if not classes:
        return _MARGIN
    shares = labels.mean(axis=0)
    even = 4 * float(shares[0] * (1 - shares[0])) if labels.shape[1] == 1 else 1.0
    return min(0.5, max(_MARGIN, 2 / np.sqrt(max(1.0, len(labels) * even))))
