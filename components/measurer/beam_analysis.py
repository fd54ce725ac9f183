"""TFMA's evaluation in a Beam pipeline, whose workers share the examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import apache_beam as beam
import tensorflow_model_analysis as tfma
from tfx_bsl.public import tfxio

from components.common.data.examples import Examples
from components.common.tflite.litert_batch import Logits
from components.measurer.class_extractor import class_extractor
from components.measurer.tflite_extractor import tflite_extractor
from components.measurer.transform_extractor import transform_extractor


def analyze(
    examples: Examples,
    paths: Mapping[str, str],
    config: Any,
    output: str,
    beam_args: list[str],
    raw_examples: Examples | None = None,
    logits: Logits | None = None,
) -> None:
    """Runs TFMA on the eval split and writes its result files.

    Args:
        examples: As `accuracy.analyze` takes them, like all others.

    Raises:
        LiteRTError: If a file does not load or run, or a feature is missing.
        VocabularyError: If a string label is not one of its classes.
    """
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
        tflite_extractor({str(name): path for name, path in paths.items()}, keep, logits),
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
