"""How well the error of a model that reconstructs its input separates anomalies from normal examples.

A model that was trained on normal examples alone reconstructs others worse. `reconstruction_auc` is the area under the
ROC curve of the mean squared error of each example (Koizumi et al., "Description and Discussion on DCASE2020 Challenge
Task 2", 2020, https://arxiv.org/abs/2006.05822; MLPerf Tiny judges its autoencoder by it): the chance that an anomaly
has the larger error of the two, a tie being half.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from components.measurer.measured import SIDES
from components.measurer.measurement import MetricValues, SliceValues
from components.measurer.params import Metric
from components.predictor.predictions import Column, Predictions, Values


class AnomalyError(ValueError):
    """The feature does not say of each example whether it is an anomaly."""


def area_under_curve(errors: npt.NDArray[Any], anomalies: npt.NDArray[np.bool_]) -> float:
    """The share of pairs of an anomaly and a normal example of which the anomaly has the larger error.

    Args:
        errors: (examples,).
        anomalies: (examples,), some true and some not.
    """
    normal, strange = np.sort(errors[~anomalies]), errors[anomalies]
    below, not_above = (np.searchsorted(normal, strange, side) for side in ("left", "right"))
    return float((below + not_above).mean() / 2 / len(normal))


def flags(column: Column, feature: str) -> npt.NDArray[np.bool_]:
    """Which examples are anomalies: those of which a feature is above 0.

    Raises:
        AnomalyError: If an example does not have one number, or all are of one kind.
    """
    for row in column.rows:
        if len(row) != 1 or isinstance(row[0], str):
            raise AnomalyError(f"feature {feature!r} has {list(row)} in an example, not one number")
    if (column.codes < 0).any():
        raise AnomalyError(f"some examples of the eval split do not have feature {feature!r}")
    strange = np.array([float(row[0]) > 0 for row in column.rows])[column.codes]
    if strange.all() or not strange.any():
        raise AnomalyError(
            f"feature {feature!r} is {'above' if strange.all() else 'not above'} 0 in all examples of the eval split; "
            "add normal examples and anomalies to it"
        )
    return strange


def measure(predictions: Predictions, asked: Metric, feature: str) -> MetricValues:
    """Compares outputs with inputs.

    Args:
        predictions: Predictions of candidate and baseline; labels are the inputs.
        asked: The metric.
        feature: Above 0 in anomalies.

    Raises:
        AnomalyError: If all examples, or none, are anomalies by the feature.
    """
    strange = flags(predictions.columns[feature], feature)
    inputs = _flat(predictions.labels)
    candidate, baseline = (
        area_under_curve(np.square(_flat(predictions.outputs[side]) - inputs).mean(axis=1), strange)
        for side in SIDES
    )
    values = SliceValues((), candidate, baseline, len(predictions))
    why = f"{asked.name()} is not a mean over examples"
    return MetricValues(asked.title(), (values,), not_resampled=why)


def _flat(values: Values) -> npt.NDArray[np.float64]:
    return np.asarray(values, np.float64).reshape(len(values), -1)
