"""Conversion to TFLite with the TensorFlow Lite converter."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from components.common import model_files
from components.common.examples import Arrays, InputSpec
from components.common.interruption import Interrupted
from components.common.model_files import Facts, StepRecord
from components.common.step_executor import StepExecutor, StepJob
from components.tflite_converter.params import CALIBRATED


class ConversionError(Exception):
    """The converter refused a model; the message has its reason."""


def signature_inputs(saved_model: str) -> dict[str, InputSpec]:
    """Inputs of a SavedModel's `serving_default`, by name, sorted."""
    signature = tf.saved_model.load(saved_model).signatures[model_files.SIGNATURE]
    _, keywords = signature.structured_input_signature
    return {
        name: InputSpec(tuple(spec.shape[1:]), spec.dtype.as_numpy_dtype)
        for name, spec in sorted(keywords.items())
    }


def draw_calibration(train: Arrays, count: int, seed: int) -> Arrays:
    """Examples to take ranges from: drawn without replacement, the same ones for the same seed."""
    count = min(count, len(train))
    chosen = np.random.default_rng(seed).choice(len(train), size=count, replace=False)
    return train.take(np.sort(chosen))


def representative_dataset(calibration: Arrays) -> Callable[[], Iterator[dict[str, np.ndarray]]]:
    """What the converter calls for examples, one at a time, by name of the input."""

    def examples() -> Iterator[dict[str, np.ndarray]]:
        for index in range(len(calibration)):
            yield {name: values[index : index + 1] for name, values in calibration.features.items()}

    return examples


def convert(
    saved_model: str, options: dict[str, Any], quantization_aware: bool, calibration: Arrays | None
) -> bytes:
    """Converts a SavedModel.

    Args:
        saved_model: Its folder; the signature `serving_default` is converted.
        options: As in components.tflite_converter.params.
        quantization_aware: Whether the model holds the ranges that int8 needs.
        calibration: Examples to take ranges from; needed for int8 and int16x8 of other models.

    Returns:
        The TFLite file.

    Raises:
        ConversionError: With the converter's reason.
    """
    quantization = options["quantization"]
    converter = tf.lite.TFLiteConverter.from_saved_model(
        saved_model, signature_keys=[model_files.SIGNATURE]
    )
    ops = tf.lite.OpsSet
    if quantization != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantization in CALIBRATED and not quantization_aware:
        if calibration is None:
            raise ConversionError(f"{quantization} needs examples to take ranges from")
        converter.representative_dataset = representative_dataset(calibration)
        converter.target_spec.supported_ops = [
            ops.TFLITE_BUILTINS_INT8
            if quantization == "int8"
            else ops.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
    io = {"int8": tf.int8, "int16": tf.int16}.get(options["io"])
    if io is not None:
        converter.inference_input_type = converter.inference_output_type = io
    try:
        return converter.convert()
    except Interrupted:
        raise
    except Exception as error:  # the converter raises bare Exceptions and its own ConverterError
        raise ConversionError(f"conversion to {quantization} failed: {error}") from error


def convert_model(job: StepJob) -> Facts:
    """Converts the model of a job and writes the TFLite file.

    Returns:
        Facts for lineage: technique, quantization, bytes and gzip bytes.

    Raises:
        ConversionError: With the converter's reason.
    """
    saved_model = model_files.serving_dir(job.base_model)
    previous = StepRecord.read(job.base_model)
    quantization_aware = "qat" in previous.techniques()
    calibration = None
    if job.options["quantization"] in CALIBRATED and not quantization_aware:
        train = job.examples.load("train", signature_inputs(saved_model))
        calibration = draw_calibration(train, job.options["calibration_examples"], job.seed)
    content = convert(saved_model, job.options, quantization_aware, calibration)
    path = model_files.tflite_file(job.output)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
    record = previous.after("convert", job.options)
    record.write(job.output)
    return {
        "technique": "-".join(record.techniques()),
        "quantization": job.options["quantization"],
        "bytes": len(content),
        "gzip_bytes": len(gzip.compress(content, compresslevel=9, mtime=0)),
    }


class Executor(StepExecutor):
    """Runs `convert_model`."""

    def run(self, job: StepJob) -> Facts:
        """Converts; see `convert_model`."""
        return convert_model(job)
