"""Accuracy of candidate and baseline by TensorFlow Model Analysis."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow_model_analysis as tfma

from components.common.base.beam_runner import remote_runner
from components.common.base.label import SAME_AS_INPUT, Label
from components.common.base.metric_facts import METRICS
from components.common.data.examples import Examples
from components.common.tflite.litert_batch import Logits
from components.measurer import batch_metrics, beam_analysis, result_files
from components.measurer.measured import Side, Slice, SliceValue
from components.measurer.params import Metric
from components.predictor.predictions import Predictions

CANDIDATE: Side = "candidate"
BASELINE: Side = "baseline"

SliceKey = tuple[tuple[str, Any], ...]
# Slice (empty for all examples) → a metric's value, None if TFMA has none, and the number of examples.
Metrics = dict[SliceKey, tuple[float | None, int]]


def eval_config(figures: Sequence[Metric], label: Label) -> Any:
    """TFMA's configuration for the metrics of a gate.

    Args:
        figures: The metrics; their titles differ.
        label: What the models predict.

    Returns:
        A `tfma.EvalConfig` with the model specs `candidate` and `baseline`.
    """
    slices = [tfma.SlicingSpec()]
    by = dict.fromkeys(tuple(limits.features()) for figure in figures for limits in figure.slices)
    slices += [tfma.SlicingSpec(feature_keys=features) for features in by]
    predicted = {"label_key": label} if isinstance(label, str) else {"label_keys": dict(label)}
    return tfma.EvalConfig(
        model_specs=[
            tfma.ModelSpec(name=CANDIDATE, model_type="tf_lite", **predicted),
            tfma.ModelSpec(name=BASELINE, model_type="tf_lite", is_baseline=True, **predicted),
        ],
        slicing_specs=slices,
        metrics_specs=[
            tfma.MetricsSpec(
                metrics=[
                    *(
                        tfma.MetricConfig(
                            class_name=figure.metric,
                            config=json.dumps({**figure.config, "name": figure.name()}),
                        )
                        for figure in figures
                        if figure.output == output
                    ),
                    *(
                        _prevalence(figure)
                        for figure in figures
                        if figure.output == output and _needs_both(figure)
                    ),
                    tfma.MetricConfig(class_name="ExampleCount"),
                ],
                model_names=[CANDIDATE, BASELINE],
                output_names=[output] if output else [],
            )
            for output in dict.fromkeys(figure.output for figure in figures)
        ],
    )


def _needs_both(figure: Metric) -> bool:
    facts = METRICS.get(figure.metric)
    return facts is not None and facts.needs_both


def _prevalence(figure: Metric) -> Any:
    """The share of positives among the labels that a metric counts."""
    counted = {name: figure.config[name] for name in ("class_id", "top_k") if name in figure.config}
    return tfma.MetricConfig(
        class_name="Prevalence", config=json.dumps({**counted, "name": _prevalence_name(figure)})
    )


def _prevalence_name(figure: Metric) -> str:
    return f"prevalence for {figure.name()}"


def on_arrays(beam_args: list[str], label: Label) -> bool:
    """Whether metrics are computed on arrays in this process, rather than by TFMA's own evaluation.

    Args:
        beam_args: Beam pipeline options. If they name a runner whose workers are elsewhere, those evaluate.
        label: What the models predict.
    """
    return remote_runner(beam_args) is None or label == SAME_AS_INPUT  # which TFMA does not know


def analyze(
    examples: Examples,
    paths: Mapping[Side, str],
    config: Any,
    output: str,
    beam_args: list[str],
    raw_examples: Examples | None = None,
    logits: Logits | None = None,
    predictions: Predictions | None = None,
) -> None:
    """Measures the metrics on the eval split and writes them as TFMA's result files.

    Args:
        examples: Whose `eval` split to predict.
        paths: `candidate` and `baseline` → TFLite file.
        config: As `eval_config` makes it.
        output: Folder for TFMA's files, which `tfma.load_eval_result` reads, and the predictions.
        beam_args: Beam pipeline options for TFMA's own evaluation.
        raw_examples: The same before Transform, if they went through it. They are read instead of
            `examples`, and the transform graph is applied to them as in serving: slices are of raw features,
            the label is a transformed one.
        logits: `candidate` and `baseline` → output of logits → softmax or sigmoid, which makes probabilities of
            them before the metrics.
        predictions: Predictions of both. Metrics are computed on them; without them, TFMA's evaluation predicts.

    Raises:
        LiteRTError: If a file does not load or run, or a feature is missing.
        VocabularyError: If a string label is not one of its classes.
    """
    if predictions is None:
        files = {str(name): path for name, path in paths.items()}
        beam_analysis.analyze(examples, files, config, output, beam_args, raw_examples, logits)
        return
    os.makedirs(output, exist_ok=True)
    predictions.write(output)
    result_files.write(output, config, batch_metrics.evaluate(predictions, config))


def read_metrics(output: str, model: str, figure: Metric) -> Metrics:
    """Reads a metric from TFMA's result files.

    Args:
        output: Their folder.
        model: `candidate` or `baseline`.
        figure: The metric.

    Returns:
        Slice (empty for all examples) → the metric's value, None if TFMA has none, NaN if the metric is not
        defined on the examples, and the number of examples.
    """
    result = tfma.load_eval_result(output, model_name=model)
    found: Metrics = {}
    name = figure.name()
    for slice_key, outputs in result.slicing_metrics:
        of_output = outputs.get(figure.output or "", {})
        value = _number(of_output, name)
        count = int(_number(of_output, "example_count") or 0)
        if value is not None and not _is_defined(
            figure, value, _number(of_output, _prevalence_name(figure))
        ):
            value = float("nan")
        # Metrics are float32; the digits past the seventh would be those of the conversion to double.
        found[tuple(slice_key)] = (None if value is None else float(f"{value:.7g}"), count)
    return found


def value_of(values: Mapping[Any, Any], model: str, figure: Metric) -> float | None:
    """A metric among those that `batch_metrics` computed.

    Args:
        values: Metric's key → value.
        model: `candidate` or `baseline`.
        figure: The metric.

    Returns:
        None if it is not there, NaN if it is not defined on the examples.
    """
    wanted = (figure.name(), _prevalence_name(figure))
    named = {
        key.name: float(value)
        for key, value in values.items()
        if key.name in wanted
        and key.model_name == model
        and key.output_name == (figure.output or "")
        and not key.is_diff
    }
    value = named.get(figure.name())
    if value is None or _is_defined(figure, value, named.get(_prevalence_name(figure))):
        return value
    return float("nan")


def _number(of_output: Mapping[str, Mapping[str, Any]], name: str) -> float | None:
    """A metric's value; None if TFMA has none. A metric of the top k, or of one class, has its own key."""
    no_metric: dict[str, Any] = {}
    found = (values[name] for values in of_output.values() if name in values)
    value = next(found, no_metric).get("doubleValue")
    return None if value is None else float(value)


def _is_defined(figure: Metric, value: float, prevalence: float | None) -> bool:
    """Whether a value is one of the metric's, or what TFMA answers if the data do not define the metric.

    With one class alone, TFMA's area under the curve is 0, and so is a recall at a precision that no threshold
    reaches; tf_keras replaces 0 / 0 by 0.
    """
    facts = METRICS.get(figure.metric)
    if facts is None:
        return True
    if facts.zero_is_undefined and value == 0:
        return False
    return not facts.needs_both or (prevalence is not None and 0 < prevalence < 1)


def slice_values(key: SliceKey) -> Slice:
    """A slice of TFMA as verdicts have it."""
    return tuple(SliceValue(feature, str(value)) for feature, value in key)
