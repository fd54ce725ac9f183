"""How common the classes are, and whether a candidate no longer finds one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.measurer.comparison import ClassBalance, LostClass

# A class is lost if the candidate finds less than this share of what the baseline finds of it …
_LOST = 0.5
# … and that is at least this many examples fewer.
_EXAMPLES = 5


def class_indices(labels: NDArray[Any], predictions: NDArray[Any]) -> NDArray[np.int64] | None:
    """The class of each example; None if labels are not of classes that exclude each other.

    Args:
        labels: (examples, 1) index of a class, or 0 or 1 of a model with one output; or (examples, classes) of
            which one is 1.
        predictions: (examples, classes), or (examples, 1).
    """
    values = np.asarray(labels, np.float64).reshape(len(labels), -1)
    whole = values == np.round(values)
    if not whole.all():
        return None
    if values.shape[1] == 1:
        found = values[:, 0].astype(np.int64)
        highest = max(1, predictions.reshape(len(predictions), -1).shape[1] - 1)
        return found if ((found >= 0) & (found <= highest)).all() else None
    one_of = ((values == 0) | (values == 1)).all() and (values.sum(axis=1) == 1).all()
    return values.argmax(axis=1) if one_of else None


def predicted_classes(predictions: NDArray[Any]) -> NDArray[np.int64]:
    """The class that each example is predicted to be: the most probable one, or 1 above one half."""
    flat = np.asarray(predictions, np.float64).reshape(len(predictions), -1)
    if flat.shape[1] == 1:
        return (flat[:, 0] > 0.5).astype(np.int64)
    return flat.argmax(axis=1).astype(np.int64)


def balance(
    classes: NDArray[np.int64],
    candidate: NDArray[np.int64],
    baseline: NDArray[np.int64],
    names: Sequence[str] = (),
    label: str = "",
) -> ClassBalance:
    """The share of the most common class, and the classes that the candidate has lost.

    Args:
        classes: (examples,) right class.
        candidate: (examples,) class that the candidate predicts.
        baseline: The same of the baseline.
        names: Names of the classes, if they have any.
        label: The feature that has the class.
    """
    counts = np.bincount(classes)
    right = [np.bincount(classes[side == classes], minlength=len(counts)) for side in (candidate, baseline)]
    lost = [
        LostClass(
            index,
            int(counts[index]),
            float(right[0][index] / counts[index]),
            float(right[1][index] / counts[index]),
            names[index] if names else None,
        )
        for index in np.flatnonzero(counts).tolist()
        if right[0][index] < _LOST * right[1][index] and right[1][index] - right[0][index] >= _EXAMPLES
    ]
    return ClassBalance(int(counts.argmax()), float(counts.max() / counts.sum()), tuple(lost), label)
