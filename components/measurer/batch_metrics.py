"""TFMA's metrics of arrays.

TFMA's evaluation hands each example to each metric as a Python object. Here its metrics are the same, and so are the
functions that make a value of what they have counted; only the counting is done on arrays:

* metrics of tf_keras are updated by TFMA's own combiner, in batches of as many examples as it gathers;
* confusion matrices are counted at once, in the buckets or at the thresholds that TFMA asks for;
* any other metric gets its examples one by one, as in TFMA.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_model_analysis as tfma
from numpy.typing import NDArray
from tensorflow_model_analysis.metrics import (
    binary_confusion_matrices,
    example_count,
    metric_specs,
    metric_types,
    metric_util,
)
from tensorflow_model_analysis.metrics.tf_metric_accumulators import TFCompilableMetricsAccumulator

from components.common.base.errors import ParedownError, describe
from components.common.base.interruption import Interrupted
from components.common.base.texts import listed
from components.measurer import slices
from components.measurer.confusion_counts import Pairs, buckets_of, histogram, matrices, split_labels
from components.predictor.predictions import Predictions, Values

_LONGEST_REASON = 200
# Examples that TFMA's combiner of Keras metrics gathers before it updates them.
_TOGETHER = 1000

# Metrics of Keras that flatten labels and predictions, and not the weights of the examples.
_BY_VALUE = frozenset(["BinaryIoU"])

# Metric's key → its value, of TFMA's types.
MetricValues = dict[Any, Any]
Chosen = NDArray[np.int64]


def evaluate(predictions: Predictions, config: Any) -> dict[Any, MetricValues]:
    """The metrics of a configuration.

    Args:
        predictions: Predictions of the models that the configuration names.
        config: `tfma.EvalConfig`.

    Returns:
        Slice as TFMA writes it (empty for all examples) → metric's key → value, differences to the baseline among
        them.

    Raises:
        MetricError: If labels and predictions do not fit a metric.
    """
    metrics = Metrics(predictions, config)
    chosen = slices.examples_of(predictions, config.slicing_specs)
    return {key: metrics.values(examples) for key, examples in chosen.items()}


class MetricError(ParedownError, ValueError):
    """A metric fails on the labels and predictions; the message names it and them."""


class Metrics:
    """The metrics of a configuration, of any choice of the examples."""

    def __init__(self, predictions: Predictions, config: Any):
        computations = list(
            dict.fromkeys(metric_specs.to_computations(list(config.metrics_specs), eval_config=config))
        )
        self._counted = [one for one in computations if isinstance(one, metric_types.MetricComputation)]
        self._derived = [
            one for one in computations if isinstance(one, metric_types.DerivedMetricComputation)
        ]
        self._baseline = next((spec.name for spec in config.model_specs if spec.is_baseline), None)
        self._arrays = _Arrays(predictions, config)

    @tf.autograph.experimental.do_not_convert  # metrics of Keras run eagerly; converting them takes longer
    def values(self, chosen: Chosen) -> MetricValues:
        """Metric's key → value.

        Args:
            chosen: Indices of examples; an example may be there more than once.
        """
        values: MetricValues = {}
        for computation in self._counted:
            values |= self._arrays.computed(computation, chosen)
        for derived in self._derived:
            values |= derived.result(values)
        values = {key: value for key, value in values.items() if not _is_private(key)}
        return values | _differences(values, self._baseline)


def _is_private(key: Any) -> bool:
    return key.name.startswith("_") and not key.name.startswith("__")


def _differences(values: MetricValues, baseline: str | None) -> MetricValues:
    found = {}
    for key, value in values.items():
        if not baseline or key.is_diff or key.model_name == baseline:
            continue
        reference = values.get(key.make_baseline_key(baseline))
        if reference is not None:
            found[key.make_diff_key()] = value - reference
    return found


def _of_places(labels: NDArray[Any], predicted: NDArray[Any]) -> bool:
    """Whether each label is the index of the class at a place of the example, such as a pixel."""
    return labels.ndim > 1 and labels.shape == predicted.shape[:-1]


def _rows(
    labels: NDArray[Any], predicted: NDArray[Any], by_value: bool
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float32]]:
    """Labels, predictions and weights as a metric of Keras takes them: each place, or value, as an example."""
    if _of_places(labels, predicted):
        labels, predicted = labels.reshape(-1, 1), predicted.reshape(-1, predicted.shape[-1])
    elif by_value and labels.shape == predicted.shape:
        labels, predicted = labels.reshape(-1, 1), predicted.reshape(-1, 1)
    return labels, predicted, np.ones((len(labels), 1), np.float32)


def _excerpt(error: Exception) -> str:
    """An exception in one short line: libraries repeat their arguments in it."""
    text = describe(error)
    return text if len(text) <= _LONGEST_REASON else f"{text[: _LONGEST_REASON - 1]}…"


class _Batch:
    """The accumulator of TFMA's combiner of Keras metrics, filled with arrays."""

    def __init__(self, inside: TFCompilableMetricsAccumulator):
        self._inside = inside
        self._inputs: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
        self.add_weights = inside.add_weights
        self.get_weights = inside.get_weights
        self.get_size_estimate = inside.get_size_estimate

    def fill(self, inputs: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]) -> None:
        """Labels, predictions and weights of each output."""
        self._inputs = inputs

    def len_inputs(self) -> int:
        return len(self._inputs[0][0]) if self._inputs else 0

    def get_inputs(self, output: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        return self._inputs[output]

    def clear_inputs(self) -> None:
        self._inputs = []


class _Arrays:
    """Computes TFMA's computations, each in the fastest way that gives TFMA's values."""

    def __init__(self, predictions: Predictions, config: Any):
        self._predictions = predictions
        self._config = config
        self._models = [spec.name for spec in config.model_specs]
        self._by_value = {
            json.loads(metric.config)["name"]
            for spec in config.metrics_specs
            for metric in spec.metrics
            if metric.class_name in _BY_VALUE
        }
        self._elements: list[dict[str, Any]] = []

    def computed(self, computation: Any, chosen: Chosen) -> MetricValues:
        """The result of a computation on some of the examples.

        Raises:
            MetricError: If it fails on them.
        """
        combiner = computation.combiner
        try:
            combiner.setup()
            accumulator = self._accumulated(computation, chosen)
            if accumulator is None:
                accumulator = self._one_by_one(computation, chosen)
            return dict(combiner.extract_output(accumulator))
        except Interrupted:
            raise
        except Exception as error:  # metrics are code of TFMA, Keras or others
            raise MetricError(self._fault(computation, chosen, error)) from error

    def _fault(self, computation: Any, chosen: Chosen, error: Exception) -> str:
        """Message about a failed metric: its name, the labels and predictions, and the reason."""
        key = computation.keys[0]
        names = listed(sorted({one.name for one in computation.keys if not _is_private(one)})) or "a metric"
        labels = _of_output(self._predictions.labels, key.output_name)
        predicted = _of_output(self._predictions.outputs.get(key.model_name, {}), key.output_name)
        data = f"{len(chosen):,} examples of the eval split"
        if labels is not None and predicted is not None:
            data += f", labels of shape {labels.shape[1:]} and predictions of shape {predicted.shape[1:]}"
            zeros = int(np.count_nonzero(labels[chosen] == 0)) if labels.dtype.kind in "biuf" else 0
            data += f", {zeros:,} of {labels[chosen].size:,} labels being 0" if zeros else ""
        while error.__cause__ is not None and isinstance(error.__cause__, Exception):
            error = error.__cause__
        return f"{names} cannot be computed from {data} ({_excerpt(error)}); write another metric, or fix the labels"

    def _accumulated(self, computation: Any, chosen: Chosen) -> Any:
        """The combiner's accumulator, made of arrays; None if it has to get its examples one by one."""
        combiner, keys = computation.combiner, computation.keys
        if not len(chosen) or len({key.model_name for key in keys}) != 1:
            return None
        if isinstance(combiner.create_accumulator(), TFCompilableMetricsAccumulator):
            return self._keras(computation, chosen)
        if len(keys) != 1 or keys[0].example_weighted:
            return None
        (key,) = keys
        if key.name == example_count.EXAMPLE_COUNT_NAME:
            return float(len(chosen))
        buckets = buckets_of(key.name)
        if buckets is not None:
            pairs = self._pairs(key, chosen)
            return None if pairs is None else histogram(pairs, buckets)
        if key.name.startswith(binary_confusion_matrices.BINARY_CONFUSION_MATRICES_NAME):
            (empty,) = combiner.extract_output(combiner.create_accumulator()).values()
            plain = metric_util.generate_private_name_from_arguments(
                binary_confusion_matrices.BINARY_CONFUSION_MATRICES_NAME, thresholds=list(empty)
            )
            pairs = self._pairs(key, chosen) if key.name == plain else None
            return None if pairs is None else matrices(pairs, empty)
        return None

    def _keras(self, computation: Any, chosen: Chosen) -> _Batch | None:
        keys = computation.keys
        key = keys[0]
        if any(one.aggregation_type or one.sub_key != key.sub_key for one in keys):
            return None
        if key.sub_key is not None and (key.sub_key.top_k is None or key.sub_key.class_id is not None):
            return None
        outputs = sorted({one.output_name for one in keys})
        whole = {output: self._shaped(key.model_name, output) for output in outputs}
        inputs = []
        for output, pair in whole.items():
            if pair is None:
                return None
            labels, predicted = (values[chosen] for values in pair)
            by_value = bool(self._by_value & {one.name for one in keys if one.output_name == output})
            if (
                key.sub_key is not None
                and labels.shape != predicted.shape
                and not _of_places(labels, predicted)
            ):
                labels = metric_util.one_hot(labels, predicted)
            inputs.append((labels, predicted, by_value))
        # As many places as TFMA takes examples together.
        places = max(
            int(np.prod(labels.shape[1:])) if _of_places(labels, predicted) else 1
            for labels, predicted, _ in inputs
        )
        together = max(1, _TOGETHER // places)
        batch = _Batch(computation.combiner.create_accumulator())
        for start in range(0, len(chosen), together):
            part = slice(start, start + together)
            batch.fill([_rows(labels[part], made[part], by_value) for labels, made, by_value in inputs])
            computation.combiner.compact(batch)
        return batch

    def _shaped(self, model: str, output: str) -> tuple[NDArray[Any], NDArray[Any]] | None:
        """Labels and predictions of all examples, in the shapes in which TFMA hands one to a metric."""
        labels = _of_output(self._predictions.labels, output)
        predicted = _of_output(self._predictions.outputs[model], output)
        if labels is None or predicted is None:
            return None
        if _of_places(labels, predicted):
            return labels, predicted
        one = metric_util.to_label_prediction_example_weight(
            self._element(0), eval_config=self._config, model_name=model, output_name=output, flatten=False
        )
        shapes = [np.shape(values) for values in next(iter(one))[:2]]
        if [int(np.prod(s)) for s in shapes] != [int(np.prod(v.shape[1:])) for v in (labels, predicted)]:
            return None
        return labels.reshape(-1, *shapes[0]), predicted.reshape(-1, *shapes[1])

    def _pairs(self, key: Any, chosen: Chosen) -> Pairs | None:
        shaped = self._shaped(key.model_name, key.output_name)
        if shaped is None or key.aggregation_type or shaped[1].ndim != 2 or shaped[0].ndim != 2:
            return None
        labels, predicted = (values[chosen] for values in shaped)
        sub_key = key.sub_key
        if labels.shape != predicted.shape:
            if labels.shape[1] != 1:
                return None
            labels = metric_util.one_hot(labels, predicted)
        if sub_key is not None:
            if sub_key.k is not None or (sub_key.top_k is not None and sub_key.class_id is not None):
                return None
            if sub_key.top_k is not None:
                if not 0 < sub_key.top_k <= predicted.shape[1]:
                    return None
                indices = metric_util.top_k_indices(sub_key.top_k, predicted)
                kept = np.full(predicted.shape, -np.inf)
                kept[indices] = predicted[indices]
                predicted = kept
            elif not 0 <= sub_key.class_id < predicted.shape[1]:
                return None
            else:
                labels, predicted = labels[:, sub_key.class_id], predicted[:, sub_key.class_id]
        return split_labels(labels.ravel(), predicted.ravel())

    def _one_by_one(self, computation: Any, chosen: Chosen) -> Any:
        accumulator = computation.combiner.create_accumulator()
        for index in chosen:
            accumulator = computation.combiner.add_inputs(
                accumulator, list(_preprocessed(computation.preprocessors, self._element(int(index))))
            )
        return accumulator

    def _element(self, index: int) -> Any:
        """An example as TFMA's metrics take it."""
        if not self._elements:
            self._elements = [{} for _ in range(len(self._predictions))]
        found = self._elements[index]
        if not found:
            labels = _example(self._predictions.labels, index)
            found |= {
                tfma.LABELS_KEY: dict.fromkeys(self._models, labels),
                tfma.PREDICTIONS_KEY: {
                    name: _example(values, index) for name, values in self._predictions.outputs.items()
                },
                tfma.FEATURES_KEY: {
                    name: np.array(column.rows[column.codes[index]])
                    for name, column in self._predictions.columns.items()
                    if column.codes[index] >= 0
                },
            }
        return metric_types.StandardMetricInputs(found)


def _preprocessed(preprocessors: Sequence[Any], element: Any) -> Iterator[Any]:
    """A combiner's input for an example."""
    if not preprocessors or all(
        type(one) is metric_types.StandardMetricInputsPreprocessor for one in preprocessors
    ):
        yield element
        return
    made = [dict(element)]
    for preprocessor in preprocessors:
        made = [after for before in made for after in preprocessor.process(before)]
    yield from made


def _of_output(values: Values, output: str) -> NDArray[Any] | None:
    if isinstance(values, dict):
        return values.get(output) if output else None
    return values if not output else None


def _example(values: Values, index: int) -> Any:
    if isinstance(values, dict):
        return {name: _example(array, index) for name, array in values.items()}
    return np.atleast_1d(values[index])
