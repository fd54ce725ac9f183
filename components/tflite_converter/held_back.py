"""Accuracy on training examples that calibration has not seen; the eval split stays unseen until the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras

from components.common.base.errors import describe
from components.common.base.held_back_limit import HeldBackLimit
from components.common.base.interruption import Interrupted
from components.common.base.metric_facts import AGREEMENT, METRICS, Takes
from components.common.data.arrays import Arrays, Division
from components.common.data.decisions import share_of_same_decisions
from components.common.tflite.litert import LiteRTModel
from components.common.tflite.litert_batch import predict_batch, probabilities
from components.tflite_converter.conversion_error import ConversionError

Outputs = dict[str, npt.NDArray[Any]]
# Examples that a SavedModel predicts together.
_TOGETHER = 64
# As many thresholds as TFMA takes for the area under a curve.
_THRESHOLDS = 10_000


def divide(train: Arrays, calibration: int, held_back: int, seed: int) -> Division:
    """Divides the training examples, which are in an order that depends on nothing but their content.

    Args:
        train: The train split.
        calibration: Most examples to take ranges from.
        held_back: Most examples to hold back; at most half of them are.
        seed: Decides which.

    Raises:
        ConversionError: If there are too few.
    """
    count = min(held_back, len(train) // 2)
    if count == 0:
        raise ConversionError(
            f"{len(train)} training example cannot be divided for calibration and repair; remove repair and "
            "layer_errors"
        )
    order = np.random.default_rng(seed).permutation(len(train))
    held, rest = order[:count], order[count : count + calibration]
    return Division(train.take(np.sort(rest)), train.take(np.sort(held)).read())


def metric_of(limit: HeldBackLimit) -> Any:
    """The metric of tf_keras; None for `agreement`.

    Raises:
        ConversionError: If tf_keras does not have it, or not with these arguments.
    """
    if limit.metric == AGREEMENT:
        return None
    name, config = limit.metric, dict(limit.config)
    if name in ("AUC", "AUCPrecisionRecall"):
        config = {"num_thresholds": _THRESHOLDS, **config}
        config |= {"curve": "PR"} if name == "AUCPrecisionRecall" else {}
        name = "AUC"
    kind = getattr(tf_keras.metrics, name, None)
    try:
        if kind is None:
            raise ValueError(f"tf_keras has no {limit.metric}")
        return kind(**config)
    except (ValueError, TypeError) as error:
        raise ConversionError(
            f"{limit.title()} cannot be measured on training examples ({describe(error)}); write limits: under "
            "convert, with a metric of tf_keras, e.g. [{metric: SparseCategoricalAccuracy, max_drop: 0.01}]"
        ) from error


class HeldBack:
    """Measures files on held-back examples.

    Attributes:
        examples: The examples.
        limits: The metrics.
        baseline: The baseline's value of each.
    """

    def __init__(
        self,
        examples: Arrays,
        limits: Sequence[HeldBackLimit],
        baseline: Any,
        logits: Mapping[str, str],
        baseline_logits: Mapping[str, str],
    ):
        """Predicts by the baseline.

        Args:
            examples: Not of the eval split.
            limits: At least one.
            baseline: Signature of the baseline's SavedModel.
            logits: Output of logits → the activation that makes probabilities of them.
            baseline_logits: The same of the baseline.

        Raises:
            ConversionError: If a metric does not fit the model.
        """
        self.examples = examples
        self.limits = list(limits)
        self._logits = logits
        self._baseline = self._predicted_in_float(baseline, baseline_logits)
        self.baseline = self._values(self._baseline)

    def in_float(self, signature: Any) -> list[float]:
        """Each metric of a SavedModel."""
        return self._values(self._predicted_in_float(signature, self._logits))

    def values(self, content: bytes) -> list[float]:
        """Each metric of a TFLite file, on LiteRT.

        Raises:
            LiteRTError: If the file does not load or run.
        """
        model = LiteRTModel(content)
        found = predict_batch(model, self.examples.feature_arrays(), "the file", self._logits)
        return self._values(found if isinstance(found, dict) else {"": found})

    def missed(self, values: Sequence[float]) -> list[int]:
        """Indices of the metrics that do not meet a limit."""
        return [
            index
            for index, (limit, value, baseline) in enumerate(
                zip(self.limits, values, self.baseline, strict=True)
            )
            if limit.missed(value, baseline)
        ]

    def _predicted_in_float(self, signature: Any, logits: Mapping[str, str]) -> Outputs:
        features = self.examples.feature_arrays()
        parts: list[Outputs] = []
        for start in range(0, len(self.examples), _TOGETHER):
            given = {n: tf.constant(v[start : start + _TOGETHER]) for n, v in features.items()}
            parts.append({name: values.numpy() for name, values in signature(**given).items()})
        outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return {
            name: probabilities(values, logits[name]) if name in logits else values
            for name, values in outputs.items()
        }

    def _values(self, outputs: Outputs) -> list[float]:
        return [self._value(limit, outputs) for limit in self.limits]

    def _value(self, limit: HeldBackLimit, outputs: Outputs) -> float:
        predicted = self._output(limit, outputs)
        baseline = self._output(limit, self._baseline)
        if limit.metric == AGREEMENT:
            return share_of_same_decisions(baseline, predicted)
        labels = baseline if limit.against == "baseline" else self._labels(limit)
        metric = metric_of(limit)
        try:
            metric.update_state(_as_predicted(labels, predicted, limit.metric), predicted)
            return float(metric.result())
        except Interrupted:
            raise
        except Exception as error:  # metrics are code of Keras, and labels may be anything
            raise ConversionError(
                f"{limit.title()} cannot be measured on training examples, labels of shape {labels.shape[1:]} and "
                f"predictions of shape {predicted.shape[1:]} ({describe(error)[:200]}); write limits: under convert "
                "with another metric"
            ) from error

    def _labels(self, limit: HeldBackLimit) -> npt.NDArray[Any]:
        labels = self.examples.labels
        if isinstance(labels, dict):
            found = labels.get(limit.output or "")
            if found is None:
                raise ConversionError(
                    f"{limit.title()} needs a label, and the training examples have labels of "
                    f"{', '.join(labels) or 'no output'}; write limits: under convert with metric: agreement"
                )
            return np.asarray(found)
        return np.asarray(labels)

    def _output(self, limit: HeldBackLimit, outputs: Outputs) -> npt.NDArray[Any]:
        if limit.output is None and len(outputs) == 1:
            return next(iter(outputs.values()))
        if limit.output not in outputs:
            raise ConversionError(
                f"{limit.title()} names no output of the model, which has {', '.join(outputs)}; write limits: under "
                "convert with output:"
            )
        return outputs[limit.output]


def _as_predicted(labels: npt.NDArray[Any], predicted: npt.NDArray[Any], metric: str) -> npt.NDArray[Any]:
    """Labels as tf_keras's metric takes them beside predictions."""
    if labels.size == predicted.size:
        return labels.reshape(predicted.shape)
    facts = METRICS.get(metric)
    if facts is not None and facts.takes is Takes.CONFUSION and labels.ndim == 1 and predicted.ndim == 2:
        return np.eye(predicted.shape[1], dtype=np.float32)[labels.astype(int)]
    return labels
