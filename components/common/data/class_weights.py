"""Weights of classes in training."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.common.base import json_file
from components.common.base.errors import ParedownError
from components.common.data import losses

BALANCED = "balanced"
# Custom property of `Model` artifacts that were trained with weights: JSON, class → weight.
PROPERTY = "class_weights"
# In the folder of the baseline's artifact, whose properties its run_fn cannot set.
_FILE = "class_weights.json"


class ClassWeightsError(ParedownError):
    """`data.class_weights` do not fit the label or the model."""


@dataclass(frozen=True)
class ClassWeights:
    """Weight of each class.

    Attributes:
        by_class: Class as the labels have it, a number → its weight; classes that are left out weigh 1.
        names: Class → its name, for people.
    """

    by_class: Mapping[int, float]
    names: Mapping[int, str]

    def of(self, labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Weight of each example, float32, by its label."""
        values, inverse = np.unique(labels, return_inverse=True)
        weights = [self.by_class.get(int(value), 1.0) for value in values]
        return np.array(weights, np.float32)[inverse.reshape(labels.shape)]

    def fact(self) -> str:
        """JSON: name of each class → its weight."""
        named = {self.names[value]: weight for value, weight in sorted(self.by_class.items())}
        return json.dumps(named)

    def write(self, uri: str) -> None:
        """Writes the weights into an artifact's folder, for `read_fact`."""
        json_file.write(os.path.join(uri, _FILE), json.loads(self.fact()))


def read_fact(uri: str) -> str | None:
    """Reads the file of `ClassWeights.write` in an artifact's folder, as `ClassWeights.fact`."""
    path = os.path.join(uri, _FILE)
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        return json.dumps(json.load(file))


def resolve(
    asked: str | Mapping[str, float], labels: npt.NDArray[Any], label: str, names: Sequence[str] | None
) -> ClassWeights:
    """Weights of the classes of a label.

    Args:
        asked: `balanced`, or class → weight. Balanced weights are n / (k · n_c) for n examples, k classes,
            and n_c examples of class c, so that all classes count alike and the mean weight is 1: King and
            Zeng, "Logistic Regression in Rare Events Data" (2001), as in scikit-learn.
        labels: Labels of the train split, numbers; (examples,).
        label: Name of the feature, for errors.
        names: Name of each class if the label is a string, in the order of their numbers.

    Raises:
        ClassWeightsError: If the label has no classes, a class has no example, or there is no such class.
    """
    if labels.ndim != 1:
        raise ClassWeightsError(
            f"data.class_weights: label {label!r} has {labels.shape[1:]} values per example, which are not one "
            "class; leave class_weights out"
        )
    if labels.dtype.kind not in "iub":
        raise ClassWeightsError(
            f"data.class_weights: label {label!r} holds numbers with fractions, as in a regression, not classes; "
            f"leave class_weights out"
        )
    values, counts = np.unique(labels, return_counts=True)
    found = {int(value): int(count) for value, count in zip(values, counts, strict=True)}
    named = dict(enumerate(names)) if names is not None else {value: str(value) for value in found}
    missing = [name for value, name in named.items() if value not in found]
    if asked == BALANCED:
        if missing:
            raise ClassWeightsError(
                f"data.class_weights: balanced cannot weight {', '.join(map(repr, missing))}, of which the train "
                "split has no example; add some, or write the weight of each class"
            )
        weights = {value: len(labels) / (len(named) * count) for value, count in found.items()}
        return ClassWeights(weights, named)
    assert not isinstance(asked, str)
    by_name = {name: value for value, name in named.items()}
    unknown = sorted(set(asked) - set(by_name))
    if unknown:
        raise ClassWeightsError(
            f"data.class_weights: {', '.join(map(repr, unknown))} is not a class of label {label!r}, which has "
            f"{', '.join(map(repr, by_name))}"
        )
    return ClassWeights({by_name[name]: float(weight) for name, weight in asked.items()}, named)


def refuse_other_tasks(model: Any) -> None:
    """Refuses a compiled model whose labels are not classes.

    Args:
        model: As build_model returns it.

    Raises:
        ClassWeightsError: If it has several outputs, or its loss is that of a regression.
    """
    if len(model.outputs) != 1:
        raise ClassWeightsError(
            f"data.class_weights weight classes of one label, but the model has {len(model.outputs)} outputs; "
            "leave class_weights out, or give the outputs' losses weights in build_model (loss_weights)"
        )
    loss = getattr(model, "loss", None)  # an imported model need not be compiled
    try:
        task, _ = losses.task_of(loss)
    except ValueError:  # of a name that Keras does not know, which training refuses
        return
    if task == losses.REGRESSION:
        name, _ = losses.keras_function(*tf.nest.flatten(loss))
        raise ClassWeightsError(
            f"data.class_weights weight classes, but build_model compiles with {name}, the loss of a "
            "regression; leave class_weights out"
        )
