"""Labels in the form that losses take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from components.common.data import label_range
from components.common.data.arrays import Arrays
from components.common.data.column import Values
from components.common.data.losses import keras_function

# Losses that take a probability for each class.
OF_PROBABILITIES = ("categorical_crossentropy", "categorical_focal_crossentropy", "kl_divergence")


def as_losses_take(
    examples: Arrays,
    outputs: Sequence[str],
    shapes: Sequence[Sequence[int | None]],
    losses: Sequence[Any],
    split: str,
) -> Arrays:
    """The same examples, with indices of classes as one value for each class if a loss needs those.

    Labels of as many values as an output get its shape, and those of as many as it has places, each the index of a
    class, its shape without the classes: examples hold them as flat lists.

    Args:
        examples: With labels.
        outputs: Names of the model's outputs, in its order.
        shapes: Shapes of the outputs, without the batch dimension.
        losses: What each output is compiled with.
        split: Split of the examples, for errors.

    Raises:
        ExamplesError: If an index is not that of a class.
    """
    labels = examples.labels_of(outputs)
    given = labels if isinstance(labels, list) else [labels]
    made = [_as_taken(*each, split) for each in zip(given, shapes, losses, strict=True)]
    if all(one is other or one.shape == other.shape for one, other in zip(made, given, strict=True)):
        return examples
    if not isinstance(examples.labels, dict):
        return Arrays(examples.features, made[0], examples.class_weights)
    # Several outputs are in order; TFMOT's wrappers may have renamed them.
    named = dict(zip(outputs, made, strict=True))
    return Arrays(examples.features, examples.renamed(named), examples.class_weights)


def _as_taken(labels: Values, shape: Sequence[int | None], loss: Any, split: str) -> Values:
    sizes = [size for size in shape if size is not None]
    if len(sizes) < len(shape) or not sizes or labels.dtype.kind not in "biuf":
        return labels
    name, _ = keras_function(loss)
    count = math.prod(labels.shape[1:])
    if name in OF_PROBABILITIES and sizes[-1] > 1 and count * sizes[-1] == math.prod(sizes):
        label_range.refuse_outside("sparse_categorical_crossentropy", sizes[-1], labels, split)
        return np.eye(sizes[-1], dtype=np.float32)[np.asarray(labels).astype(np.int64)].reshape(
            len(labels), *sizes
        )
    if len(sizes) > 1 and count == math.prod(sizes):
        return labels.reshape((len(labels), *sizes))
    if len(sizes) > 1 and count == math.prod(sizes[:-1]):
        return labels.reshape((len(labels), *sizes[:-1]))
    return labels
