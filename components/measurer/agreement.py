"""How far a candidate's file agrees with the baseline's: metrics of predictions alone, which need no labels.

`agreement` is the share of the baseline's own decisions: the class of greatest probability, or of a sigmoid whether it
is 0.5 or more. Errors are those of tf_keras, with the baseline's outputs in place of labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow_model_analysis as tfma
import tf_keras

from components.common.base.metric_facts import AGREEMENT
from components.common.data.decisions import same_decisions, share_of_same_decisions
from components.measurer import accuracy, bootstrap, example_values, slices
from components.measurer.comparison import Uncertainty
from components.measurer.measured import Slice
from components.measurer.measurement import MetricValues, SliceValues
from components.measurer.params import Metric
from components.predictor.predictions import Predictions

Floats = npt.NDArray[Any]


def figure_of(asked: Metric, baseline: Floats, candidate: Floats) -> float:
    """A metric of the candidate's predictions.

    Args:
        asked: A metric `of_baseline`.
        baseline: Predictions of the baseline, (examples, …).
        candidate: As many, in the same order.
    """
    if asked.metric == AGREEMENT:
        return share_of_same_decisions(baseline, candidate)
    metric = getattr(tf_keras.metrics, asked.metric)(**asked.config)
    metric.update_state(baseline.reshape(len(baseline), -1), candidate.reshape(len(candidate), -1))
    return float(f"{float(metric.result()):.7g}")  # as accuracy.read_metrics


def uncertainty_of(asked: Metric, baseline: Floats, candidate: Floats, seed: int) -> Uncertainty | None:
    """The intervals of a metric of the candidate's predictions; None if it is not a mean over examples.

    Args:
        asked: A metric `of_baseline`.
        baseline: Predictions of the baseline, (examples, …).
        candidate: As many, in the same order.
        seed: Seed of the bootstrap.
    """
    count = len(baseline)
    if asked.metric == AGREEMENT:
        same = same_decisions(baseline, candidate).reshape(count, -1).mean(axis=1)
        return bootstrap.of_means(same, np.ones(count), seed)
    labels, given = baseline.reshape(count, -1), candidate.reshape(count, -1)
    value = figure_of(asked, baseline, candidate)
    values = example_values.of_metric(asked.metric, asked.config, labels, given, value)
    if values is None:
        return None
    return bootstrap.of_means(values(labels, given), values(labels, labels), seed)


def measure(predictions: Predictions, asked: Metric, seed: int) -> MetricValues:
    """Compares the predictions of candidate and baseline, on all examples and in each slice.

    Args:
        predictions: Predictions of `candidate` and `baseline`.
        asked: A metric `of_baseline`.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: If the model has no output that the metric names.
    """
    baseline, candidate = (
        _of_output(predictions.outputs[side], asked) for side in ("baseline", "candidate")
    )
    specs = [tfma.SlicingSpec(), *(tfma.SlicingSpec(feature_keys=by.features()) for by in asked.slices)]
    chosen = slices.examples_of(predictions, specs)
    values = tuple(
        _in_slice(asked, accuracy.slice_values(key), baseline[rows], candidate[rows], seed)
        for key, rows in sorted(chosen.items(), key=lambda item: (bool(item[0]), str(item[0])))
    )
    why = "" if values[0].uncertainty else f"{asked.name()} is not a mean over examples"
    return MetricValues(asked.title(), values, not_resampled=why)


def _in_slice(asked: Metric, key: Slice, baseline: Floats, candidate: Floats, seed: int) -> SliceValues:
    return SliceValues(
        key,
        figure_of(asked, baseline, candidate),
        figure_of(asked, baseline, baseline),
        len(baseline),
        uncertainty_of(asked, baseline, candidate, seed),
    )


def _of_output(predictions: Any, asked: Metric) -> Floats:
    if not isinstance(predictions, Mapping):
        return np.asarray(predictions)
    if asked.output not in predictions:
        raise ValueError(
            f"the model's outputs are {sorted(predictions)}; {asked.title()} names none of them"
        )
    return np.asarray(predictions[asked.output])
