"""How far a candidate's file agrees with the baseline's: metrics of predictions alone, which need no labels.

`agreement` is the share of the baseline's own decisions: the class of greatest probability, or of a sigmoid whether it
is 0.5 or more. Errors are those of tf_keras, with the baseline's outputs in place of labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tf_keras

from components.common.base.metric_facts import AGREEMENT
from components.common.data.examples import Examples
from components.common.tflite.litert import LiteRTModel
from components.measurer.measurement import MetricValues, SliceValues
from components.measurer.params import Metric
from components.measurer.tflite_extractor import Logits, predict_batch

Floats = npt.NDArray[Any]


def share_of_same_decisions(baseline: Floats, candidate: Floats) -> float:
    """The share of decisions that two models have in common.

    Args:
        baseline: Probabilities, (examples, …, units); with one unit, of a sigmoid. Units that do not add up to 1 are
            sigmoids, each a decision.
        candidate: The same of the other model.
    """
    if _excludes(baseline):
        return float(np.mean(baseline.argmax(axis=-1) == candidate.argmax(axis=-1)))
    return float(np.mean((baseline >= 0.5) == (candidate >= 0.5)))


def _excludes(probabilities: Floats) -> bool:
    """Whether one class excludes the others: float32 probabilities of a softmax add up to 1."""
    return probabilities.shape[-1] > 1 and bool(
        np.allclose(probabilities.sum(axis=-1, dtype=np.float64), 1, atol=1e-3)
    )


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


def measure(
    examples: Examples,
    paths: Mapping[str, str],
    metrics: Sequence[Metric],
    logits: Logits | None = None,
) -> dict[str, MetricValues]:
    """Predicts the eval split by both files, and compares.

    Args:
        examples: Whose `eval` split to predict; as models take them.
        paths: `candidate` and `baseline` → TFLite file.
        metrics: Metrics `of_baseline`.
        logits: `candidate` and `baseline` → output of logits → the activation that makes probabilities of them.

    Returns:
        Title of each metric → its values, on all examples.

    Raises:
        LiteRTError: If a file does not load or run, or a prediction is not finite.
        ValueError: If the model has no output that a metric names.
    """
    models = {name: LiteRTModel(path) for name, path in paths.items()}
    arrays = examples.load("eval", models["baseline"].inputs)
    predictions = {
        name: predict_batch(model, arrays.features, name, (logits or {}).get(name))
        for name, model in models.items()
    }
    found = {}
    for asked in metrics:
        baseline, candidate = (_of_output(predictions[name], asked) for name in ("baseline", "candidate"))
        values = SliceValues(
            (), figure_of(asked, baseline, candidate), figure_of(asked, baseline, baseline), len(arrays)
        )
        found[asked.title()] = MetricValues(asked.title(), (values,))
    return found


def _of_output(predictions: Any, asked: Metric) -> Floats:
    if not isinstance(predictions, Mapping):
        return np.asarray(predictions)
    if asked.output not in predictions:
        raise ValueError(
            f"the model's outputs are {sorted(predictions)}; {asked.title()} names none of them"
        )
    return np.asarray(predictions[asked.output])
