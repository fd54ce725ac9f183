"""The labels that a loss can be computed from."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tf_keras

from components.common.data.column import Column, Values
from components.common.data.model_inputs import ExamplesError

# Losses by name, without underscores and in small letters: of class indices, and of probabilities.
_OF_INDICES = ("sparsecategoricalcrossentropy",)
_OF_PROBABILITIES = (
    "binarycrossentropy",
    "binaryfocalcrossentropy",
    "categoricalcrossentropy",
    "categoricalfocalcrossentropy",
)


def refuse_outside(loss: Any, outputs: int | None, labels: Values, split: str) -> None:
    """Refuses labels that a loss gives no meaning to.

    Of a class that the model has no output for, TensorFlow makes NaN on a GPU, and on a CPU an error that names
    no split, in the middle of training; of a label that is not a probability, a loss that can fall for ever.

    Args:
        loss: What the model was compiled with: a name, a function or a tf_keras loss. Of one that is not
            known, labels only have to be finite.
        outputs: Size of the output's last dimension; None if it is free.
        labels: Labels of that output, one for each example or more.
        split: Where they are from, for the error.

    Raises:
        ExamplesError: Naming a label, and how many there are.
    """
    if isinstance(labels, Column):
        for part in labels.chunks():
            refuse_outside(loss, outputs, part, split)
        return
    if labels.dtype.kind not in "biuf":
        return
    name = _name(loss)
    with np.errstate(invalid="ignore"):
        _refuse(labels, ~np.isfinite(labels), split, "is not a number that a loss can be computed from")
        if name in _OF_INDICES:
            config = loss.get_config() if isinstance(loss, tf_keras.losses.Loss) else {}
            ignored = config.get("ignore_class")
            counted = labels != ignored if ignored is not None else np.ones_like(labels, bool)
            what = f"is not a class: {name_of(loss)} takes whole numbers from 0"
            wrong = (labels < 0) | (labels != np.floor(labels))
            _refuse(labels, wrong & counted, split, what)
            if outputs is not None:
                what = (
                    f"has no output: build_model returns a model with {outputs} outputs, for classes 0 to "
                    f"{outputs - 1}; give it one for each class, or write data.classes: [1, 2, …] if classes do not "
                    "begin at 0"
                )
                _refuse(labels, (labels >= outputs) & counted, split, what)
        elif name in _OF_PROBABILITIES:
            what = f"is not a probability: {name_of(loss)} takes numbers from 0 to 1"
            _refuse(labels, (labels < 0) | (labels > 1), split, what)


def _refuse(labels: npt.NDArray[Any], wrong: npt.NDArray[Any], split: str, what: str) -> None:
    if wrong.any():
        found = labels.ravel()[int(np.argmax(wrong.ravel()))]
        raise ExamplesError(
            f"label {found} of split {split!r} ({np.count_nonzero(wrong):,} of {wrong.size:,}) {what}"
        )


def name_of(loss: Any) -> str:
    """A loss as people write it."""
    return loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)


def _name(loss: Any) -> str:
    return name_of(loss).lower().replace("_", "")
