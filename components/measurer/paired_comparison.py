"""Compares the predictions of candidate and baseline, metric by metric, example by example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.common.base.label import Label
from components.common.base.metric_facts import METRICS, Takes
from components.measurer import (
    accuracy,
    bootstrap,
    class_balance,
    constant_prediction,
    example_values,
    slices,
)
from components.measurer.batch_metrics import Metrics
from components.measurer.comparison import Chance, ClassBalance, Uncertainty
from components.measurer.example_values import ExampleValues
from components.measurer.params import Metric
from components.predictor.predictions import Predictions, Values

_OF_CLASSES = (Takes.INDEX, Takes.ONE_HOT, Takes.CONFUSION, Takes.PROBABILITIES)
# Labels that constant predictions are measured on.
_SAMPLE = 20_000
_ELSEWHERE = "the candidate's predictions were made by Beam's workers, which do not keep them"


@dataclass(frozen=True)
class Comparison:
    """How candidate and baseline compare in one metric.

    Attributes:
        uncertainty: Slice (empty for all examples) → intervals; those that are not known are not there.
        not_resampled: Why there are no intervals; empty if there are.
        chance: What the metric is without knowledge of an example; None if that says nothing.
        classes: How common the classes are; None if labels are not of classes that exclude each other.
    """

    uncertainty: Mapping[accuracy.SliceKey, Uncertainty] = field(default_factory=dict)
    not_resampled: str = ""
    chance: Chance | None = None
    classes: ClassBalance | None = None


def compare(
    predictions: Predictions,
    metric: Metric,
    label: Label,
    value: float,
    seed: int,
    names: Sequence[str] = (),
    thorough: bool = False,
) -> Comparison:
    """Compares in one metric.

    Args:
        predictions: Predictions of the `candidate` and of the `baseline`, or of the baseline alone: then all that is
            known is what the metric is by chance.
        metric: The metric.
        label: What the models predict.
        value: The baseline's, on all examples.
        seed: Seed of the bootstrap.
        names: Names of the classes, if labels are strings.
        thorough: Whether a metric that is not a mean over examples is resampled, too: it is computed again for each
            resample.
    """
    return _Comparing(predictions, metric, label, value).comparison(seed, names, thorough)


class _Comparing:
    def __init__(self, predictions: Predictions, metric: Metric, label: Label, value: float):
        self._predictions = predictions
        self._metric = metric
        self._config = accuracy.eval_config([metric], label)
        self._feature = label if isinstance(label, str) else label.get(metric.output or "", "")
        labels = _of_output(predictions.labels, metric.output)
        # Keras would hold labels (examples,) against predictions (examples, 1) each with each.
        self._labels = labels[:, np.newaxis] if labels is not None and labels.ndim == 1 else labels
        self._outputs = {
            side: _of_output(values, metric.output) for side, values in predictions.outputs.items()
        }
        baseline = self._outputs[accuracy.BASELINE]
        self._mean: ExampleValues | None = None
        if self._labels is not None and baseline is not None:
            self._mean = example_values.of_metric(
                metric.metric, metric.config, self._labels, baseline, value
            )

    def comparison(self, seed: int, names: Sequence[str], thorough: bool) -> Comparison:
        if accuracy.CANDIDATE not in self._outputs:
            return Comparison(not_resampled=_ELSEWHERE, chance=self._chance())
        uncertainty, why = self._uncertainty(seed, thorough)
        return Comparison(uncertainty, why, self._chance(), self._classes(names))

    def _uncertainty(self, seed: int, thorough: bool) -> tuple[dict[accuracy.SliceKey, Uncertainty], str]:
        chosen = slices.examples_of(self._predictions, self._config.slicing_specs)
        found: dict[accuracy.SliceKey, Uncertainty] = {}
        if self._mean is not None and self._labels is not None:
            candidate, baseline = (
                self._mean(self._labels, values)
                for values in (self._outputs[accuracy.CANDIDATE], self._outputs[accuracy.BASELINE])
                if values is not None
            )
            for key, examples in chosen.items():
                found[key] = bootstrap.of_means(candidate[examples], baseline[examples], seed)
            return found, ""
        name = self._metric.name()
        if not thorough:
            return {}, f"{name} is not a mean over examples, and no limit on it sets confidence"
        metrics = Metrics(self._predictions, self._config)
        for key, examples in chosen.items():

            def compute(
                drawn: NDArray[np.int64], examples: NDArray[np.int64] = examples
            ) -> tuple[float, float]:
                return self._pair(metrics.values(examples[drawn]))

            one = bootstrap.of_computed(compute, len(examples), seed)
            if one is None:
                return {}, f"there are too many examples to compute {name} again for each resample"
            found[key] = one
        return found, ""

    def _pair(self, values: Mapping[Any, Any]) -> tuple[float, float]:
        candidate, baseline = (
            accuracy.value_of(values, side, self._metric)
            for side in (accuracy.CANDIDATE, accuracy.BASELINE)
        )
        return (
            float("nan") if candidate is None else candidate,
            float("nan") if baseline is None else baseline,
        )

    def _chance(self) -> Chance | None:
        facts = METRICS.get(self._metric.metric)
        baseline = self._outputs[accuracy.BASELINE]
        if facts is None or facts.higher_is_better is None or facts.takes is Takes.OTHER:
            return None
        if self._labels is None or baseline is None:
            return None
        most = max(1, _SAMPLE // int(np.prod(self._labels.shape[1:])))
        every = np.unique(np.linspace(0, len(baseline) - 1, min(len(baseline), most)).astype(np.int64))
        labels, shape = self._labels[every], baseline[every].shape
        classes = facts.takes in _OF_CLASSES
        if labels.ndim > 1 and labels.shape == shape[:-1]:  # the index of a class at each place
            rows = _as_outputs(labels.reshape(-1, 1), shape[-1], classes)
        else:
            rows = _as_outputs(labels, int(np.prod(shape[1:])), classes)
        if rows is None:
            return None

        def value(predicted: NDArray[np.float32]) -> float | None:
            made = predicted.reshape(shape)
            if self._mean is not None:
                return float(self._mean(labels, made).mean())
            output = self._metric.output
            values: Values = {output: made} if output else made
            both: dict[str, Values] = {accuracy.CANDIDATE: values, accuracy.BASELINE: values}
            taken = Predictions({output: labels} if output else labels, both, {})
            return self._pair(Metrics(taken, self._config).values(np.arange(len(made))))[0]

        return constant_prediction.chance(rows, classes, facts.higher_is_better, value)

    def _classes(self, names: Sequence[str]) -> ClassBalance | None:
        facts = METRICS.get(self._metric.metric)
        sides = [self._outputs[side] for side in (accuracy.CANDIDATE, accuracy.BASELINE)]
        if facts is None or facts.takes not in _OF_CLASSES or self._labels is None:
            return None
        if any(side is None or side.ndim != 2 for side in sides):
            return None
        candidate, baseline = (np.asarray(side) for side in sides)
        classes = class_balance.class_indices(self._labels, baseline)
        if classes is None:
            return None
        predicted = [class_balance.predicted_classes(side) for side in (candidate, baseline)]
        return class_balance.balance(classes, predicted[0], predicted[1], names, self._feature)


def _of_output(values: Values, output: str | None) -> NDArray[Any] | None:
    if isinstance(values, dict):
        return values.get(output) if output else None
    return None if output else values


def _as_outputs(labels: NDArray[Any], outputs: int, classes: bool) -> NDArray[np.float64] | None:
    """Labels as values of (examples, outputs), of which a constant prediction can be made."""
    flat = labels.reshape(len(labels), -1).astype(np.float64)
    if flat.shape[1] == 1 and outputs > 1:
        indices = flat[:, 0].astype(np.int64)
        if not classes or (indices != flat[:, 0]).any() or indices.min() < 0 or indices.max() >= outputs:
            return None
        return np.eye(outputs)[indices]
    if flat.shape[1] != outputs or (classes and ((flat < 0) | (flat > 1)).any()):
        return None
    return flat
