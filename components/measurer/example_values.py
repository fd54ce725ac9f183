"""A metric's value of each example, for metrics that are means over examples."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from components.common.base.metric_facts import MEANS

# Examples whose values are computed together.
_TOGETHER = 8192
# A mean in float32 is this close to the metric, which adds in another order.
_ROUNDING = 1e-4


ExampleValues = Callable[[NDArray[Any], NDArray[Any]], NDArray[np.float64]]


def of_metric(
    metric: str, config: Mapping[str, Any], labels: NDArray[Any], predictions: NDArray[Any], value: float
) -> ExampleValues | None:
    """The function whose mean over examples is the metric.

    tf_keras has a function of each example for its metrics that are means (`sparse_categorical_accuracy` for
    SparseCategoricalAccuracy), and TFMA's metrics of the same names have the same definitions.

    Args:
        metric: Class name.
        config: Arguments of its constructor.
        labels: (examples, …).
        predictions: (examples, …).
        value: The metric on these examples. If the mean of the function's values is another, it is not the metric.

    Returns:
        Labels and predictions → (examples,) values; None if the metric is not known to be a mean over examples.
    """
    function = _function(metric)
    if function is None or not config.keys() <= inspect.signature(function).parameters.keys():
        return None

    def values(labels: NDArray[Any], predictions: NDArray[Any]) -> NDArray[np.float64]:
        parts = []
        for start in range(0, len(labels), _TOGETHER):
            part = slice(start, start + _TOGETHER)
            found = np.asarray(function(labels[part], predictions[part], **config), np.float64)
            parts.append(found.reshape(len(labels[part]), -1).mean(axis=1))
        return np.concatenate(parts)

    try:
        mean = values(labels, predictions).mean()
    except (ValueError, TypeError, tf.errors.InvalidArgumentError):
        return None
    return values if np.isclose(mean, value, rtol=_ROUNDING, atol=_ROUNDING * 1e-2) else None


def _function(metric: str) -> Any:
    """tf_keras's function of the metric's name in snake case; None if the metric is not a mean."""
    if metric not in MEANS:
        return None
    name = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", metric).lower()
    return getattr(tf_keras.metrics, name)
