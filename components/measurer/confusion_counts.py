"""What TFMA counts for its confusion matrices and calibration histograms, counted on arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorflow_model_analysis.contrib.aggregates.binary_confusion_matrices import Matrix
from tensorflow_model_analysis.metrics import calibration_histogram, metric_util


@dataclass(frozen=True)
class Pairs:
    """Labels with predictions, value by value, as TFMA pairs them for confusion matrices.

    Attributes:
        labels: (pairs,) 0 or 1.
        predictions: (pairs,).
        weights: (pairs,): a label between 0 and 1 is a share of both.
    """

    labels: NDArray[np.float64]
    predictions: NDArray[np.float64]
    weights: NDArray[np.float64]


def split_labels(labels: NDArray[Any], predictions: NDArray[Any]) -> Pairs | None:
    """Labels between 0 and 1 as shares of 0 and 1, which is how TFMA counts them.

    Args:
        labels: (pairs,).
        predictions: (pairs,).

    Returns:
        None if a label is not between 0 and 1; TFMA then says so.
    """
    if ((labels < 0) | (labels > 1)).any():
        return None
    shares = np.stack([1 - labels, labels], 1).astype(np.float64)
    there = shares != 0
    kinds = np.broadcast_to(np.array([0.0, 1.0]), shares.shape)
    values = np.broadcast_to(predictions.astype(np.float64)[:, np.newaxis], shares.shape)
    return Pairs(kinds[there], values[there], shares[there])


def buckets_of(name: str) -> int | None:
    """How many buckets a histogram of TFMA has, by its name; None if it is not one that `histogram` makes."""
    for count in (calibration_histogram.DEFAULT_NUM_BUCKETS, 1):
        plain = metric_util.generate_private_name_from_arguments(
            calibration_histogram.CALIBRATION_HISTOGRAM_NAME,
            num_buckets=count,
            left=0.0,
            right=1.0,
            fractional_labels=True,
            prediction_based_bucketing=True,
        )
        if name == plain:
            return count
    return None


def bucket_indices(predictions: NDArray[np.float64], buckets: int) -> NDArray[np.int64]:
    """The bucket of each prediction: 0 below 0, 1 to `buckets` between 0 and 1, then the last one."""
    scaled = predictions / 1.0 * buckets + 1
    return np.where(scaled < 0, 0, np.minimum(np.maximum(scaled, 0), buckets + 1)).astype(np.int64)


def histogram(pairs: Pairs, buckets: int) -> dict[int, Any]:
    """TFMA's calibration histogram: bucket → what is in it."""
    indices = bucket_indices(pairs.predictions, buckets)
    sums = [
        np.bincount(indices, weights=values, minlength=buckets + 2)
        for values in (pairs.labels * pairs.weights, pairs.predictions * pairs.weights, pairs.weights)
    ]
    return {
        index: calibration_histogram.Bucket(index, *(float(column[index]) for column in sums))
        for index in np.unique(indices).tolist()
    }


def matrices(pairs: Pairs, empty: Mapping[float, Any]) -> dict[float, Any]:
    """TFMA's binary confusion matrices: threshold → its entry.

    Args:
        pairs: What to count.
        empty: Threshold → the entry of no examples.
    """

    def total(chosen: NDArray[np.bool_]) -> float:
        return float(pairs.weights[chosen].sum())

    found = {}
    positive = pairs.labels == 1
    for threshold, entry in empty.items():
        above = pairs.predictions > threshold
        found[threshold] = entry._replace(
            matrix=Matrix(
                tp=total(positive & above),
                tn=total(~positive & ~above),
                fp=total(~positive & above),
                fn=total(positive & ~above),
            )
        )
    return found
