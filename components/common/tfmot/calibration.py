"""Setting a quantization-aware model's ranges of activations from examples.

Methods as compared by Wu et al., "Integer Quantization for Deep Learning Inference: Principles and Empirical
Evaluation" (2020), https://arxiv.org/abs/2004.09602.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras

from components.common.base.activation_ranges import ActivationRange
from components.common.base.calibration import Calibration
from components.common.tfmot.ranges import (
    LEVELS,
    Range,
    clipped_shares,
    observe,
    ranges_of,
    set_weight_ranges,
)
from components.common.tfmot.shared_ranges import shared_ranges

_BINS = 2048
# Ranges that `mse` tries, as shares of the whole one.
_SHARES = np.linspace(0.1, 1.0, 91)

Values = npt.NDArray[np.float64]
Ends = tuple[float, float]
Features = Mapping[str, npt.NDArray[Any]]


def calibrate(model: tf_keras.Model, features: Features, options: Calibration) -> None:
    """Sets each range of a model from the values that it is applied to, and the ranges of kernels.

    Args:
        model: Quantization-aware; its ranges are changed in place.
        features: Feature → (examples, …), in the order of the model's inputs.
        options: Say by which method.
    """
    set_weight_ranges(model)
    ends = _find_ends(model, features, options)
    for found in ranges_of(model):
        if found in ends:  # a layer that no output needs is not called
            found.set(*ends[found])


def measure_ranges(
    model: tf_keras.Model, train: Features, evaluation: Features, options: Calibration
) -> dict[str, ActivationRange]:
    """Tensor → its range, what that clips, and how far it is from what calibration would find now.

    Args:
        model: Quantization-aware and trained; not changed.
        train: Examples to calibrate with, in the order of the model's inputs.
        evaluation: Other examples.
        options: How it was calibrated.
    """
    ends = _find_ends(model, train, options)
    clipped = clipped_shares(model, evaluation)
    found = {}
    for one in ranges_of(model):
        if one in ends:
            (low, high), (least, greatest) = one.read(), ends[one]
            off = max(abs(low - least), abs(high - greatest))
            unsettled = off / (greatest - least) if greatest > least else 0.0
            found[one.tensor] = ActivationRange(
                low=low, high=high, clipped=clipped[one.tensor], unsettled=unsettled
            )
    return found


def _find_ends(model: tf_keras.Model, features: Features, options: Calibration) -> dict[Range, Ends]:
    """Each range → the ends that a method finds; of ranges that have to be equal, the outermost."""
    ends = _extremes(model, features)
    if options.method != "minmax":
        counts = _histograms(model, features, ends)
        for found in ends:
            if options.method == "percentile":
                ends[found] = _inner(*ends[found], counts[found], options.percentile)
            else:
                ends[found] = _least_error(*ends[found], counts[found])
    for group in shared_ranges(model):
        met = [ends[found] for found in group if found in ends]
        both = min(low for low, _ in met), max(high for _, high in met)
        ends.update(dict.fromkeys(group, both))
    return ends


def _extremes(model: tf_keras.Model, features: Features) -> dict[Range, Ends]:
    ends: dict[Range, Ends] = {}

    def see(found: Range, values: Any) -> None:
        low, high = ends.get(found, (0.0, 0.0))
        ends[found] = (
            min(low, float(tf.reduce_min(values))),
            max(high, float(tf.reduce_max(values))),
        )

    observe(model, features, see, quantize=False)
    return ends


def _histograms(
    model: tf_keras.Model,
    features: Features,
    ends: Mapping[Range, Ends],
) -> dict[Range, Values]:
    """Each range → how many values fall into each of the bins between its extremes."""
    counts = {key: np.zeros(_BINS) for key in ends}

    def see(found: Range, values: Any) -> None:
        low, high = ends[found]
        if high > low:
            binned = tf.histogram_fixed_width(tf.reshape(values, [-1]), [low, high], _BINS)
            counts[found] += binned.numpy()

    observe(model, features, see, quantize=False)
    return counts


def _inner(low: float, high: float, counts: Values, percentile: float) -> Ends:
    """The range that a percentage of the values does not exceed, nor another the other way."""
    total = counts.sum()
    if not total:
        return low, high
    edges = np.linspace(low, high, _BINS + 1)
    below = np.cumsum(counts) / total
    share = percentile / 100
    return (
        float(edges[int(np.searchsorted(below, 1 - share, side="right"))]),
        float(edges[min(int(np.searchsorted(below, share)) + 1, _BINS)]),
    )


def _least_error(low: float, high: float, counts: Values) -> Ends:
    """The part of a range, the same share of both ends, with the least mean squared error at 8 bits."""
    if not counts.sum():
        return low, high
    edges = np.linspace(low, high, _BINS + 1)
    centers = (edges[1:] + edges[:-1]) / 2
    errors = []
    for share in _SHARES:
        least, greatest = low * share, high * share
        step = (greatest - least) / LEVELS
        rounded = np.clip(np.round((centers - least) / step), 0, LEVELS) * step + least
        errors.append(np.sum(counts * (rounded - centers) ** 2))
    share = _SHARES[int(np.argmin(errors))]
    return low * share, high * share
