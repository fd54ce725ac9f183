"""Accuracy of candidate and baseline by TensorFlow Model Analysis."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
import tensorflow_model_analysis as tfma

from components.common.base.label import Label
from components.common.data.examples import Examples
from components.evaluator.class_extractor import class_extractor
from components.evaluator.measured import Side, Slice, SliceValue
from components.evaluator.params import AccuracyGate
from components.evaluator.tflite_extractor import tflite_extractor
from components.evaluator.transform_extractor import transform_extractor

CANDIDATE: Side = "candidate"
BASELINE: Side = "baseline"

SliceKey = tuple[tuple[str, Any], ...]
# Slice (empty for all examples) → a metric's value, None if TFMA has none, and the number of examples.
Metrics = dict[SliceKey, tuple[float | None, int]]


def eval_config(figures: Sequence[AccuracyGate], label: Label) -> Any:
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
                    tfma.MetricConfig(class_name="ExampleCount"),
                ],
                model_names=[CANDIDATE, BASELINE],
                output_names=[output] if output else [],
            )
            for output in dict.fromkeys(figure.output for figure in figures)
        ],
    )


def analyze(
    examples: Examples,
    paths: Mapping[Side, str],
    config: Any,
    output: str,
    beam_args: list[str],
    raw_examples: Examples | None = None,
) -> None:
    """Runs TFMA on the eval split and writes its result files.

    Args:
        examples: Whose `eval` split to predict.
        paths: `candidate` and `baseline` → TFLite file.
        config: As `eval_config` makes it.
        output: Folder for TFMA's files, which `tfma.load_eval_result` reads.
        beam_args: Beam pipeline options.
        raw_examples: The same before Transform, if they went through it. They are read instead of
            `examples`, and the transform graph is applied to them as in serving: slices are of raw features,
            the label is a transformed one.

    Raises:
        LiteRTError: If a file does not load or run, or a feature is missing.
        VocabularyError: If a string label is not one of its classes.
    """
    from tfx_bsl.public import tfxio

    keep = frozenset(key for spec in config.slicing_specs for key in spec.feature_keys)
    read = raw_examples or examples
    transform = raw_examples is not None and examples.transform_uri
    source = tfxio.TFExampleRecord(
        file_pattern=read.files("eval"),
        schema=read.schema(),
        raw_record_column_name=tfma.ARROW_INPUT_COLUMN if transform else None,
        telemetry_descriptors=["paredown", "evaluator"],
    )
    classes = examples.vocabulary()
    extractors = [
        tfma.extractors.FeaturesExtractor(config, tensor_representations=source.TensorRepresentations()),
        *([transform_extractor(transform, list(paths))] if transform else []),
        tfma.extractors.LabelsExtractor(config),
        *([class_extractor(classes, str(examples.label))] if classes is not None else []),
        tfma.extractors.ExampleWeightsExtractor(config),
        tflite_extractor({str(name): path for name, path in paths.items()}, keep),
        tfma.extractors.UnbatchExtractor(),
        tfma.extractors.SliceKeyExtractor(
            slice_spec=[tfma.slicer.SingleSliceSpec(spec=s) for s in config.slicing_specs]
        ),
    ]
    with beam.Pipeline(argv=beam_args) as pipeline:
        _ = (
            pipeline
            | "ReadExamples" >> source.BeamSource()
            | "Evaluate"
            >> tfma.ExtractEvaluateAndWriteResults(
                eval_config=config,
                output_path=output,
                extractors=extractors,
                evaluators=[tfma.evaluators.MetricsPlotsAndValidationsEvaluator(config)],
            )
        )


def read_metrics(output: str, model: str, figure: AccuracyGate) -> Metrics:
    """Reads a metric from TFMA's result files.

    Args:
        output: Their folder.
        model: `candidate` or `baseline`.
        figure: The metric.

    Returns:
        Slice (empty for all examples) → the metric's value, None if TFMA has none, and the number
        of examples.
    """
    result = tfma.load_eval_result(output, model_name=model)
    found: Metrics = {}
    name = figure.name()
    for slice_key, outputs in result.slicing_metrics:
        of_output = outputs.get(figure.output or "", {})
        metrics = of_output.get("", {})
        # A metric of the top k, or of one class, has its own key.
        found_by_name = (values[name] for values in of_output.values() if name in values)
        no_metric: dict[str, Any] = {}
        value = next(found_by_name, no_metric).get("doubleValue")
        if value == "NaN":
            value = float("nan")
        count = int(metrics.get("example_count", {}).get("doubleValue", 0))
        # Metrics are float32; the digits past the seventh would be those of the conversion to double.
        found[tuple(slice_key)] = (None if value is None else float(f"{value:.7g}"), count)
    return found


def slice_values(key: SliceKey) -> Slice:
    """A slice of TFMA as verdicts have it."""
    return tuple(SliceValue(feature, str(value)) for feature, value in key)
