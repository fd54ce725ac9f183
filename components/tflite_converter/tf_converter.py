"""TensorFlow's converter, set as options ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy.typing as npt
import tensorflow as tf

from components.common.data.arrays import Arrays
from components.common.tflite.tflite_file import SIGNATURE
from components.tflite_converter.params import ConvertOptions, Granularity


def representative_dataset(calibration: Arrays) -> Callable[[], Iterator[dict[str, npt.NDArray[Any]]]]:
    """The function that the converter calls for examples, one at a time, by name of the input."""

    def examples() -> Iterator[dict[str, npt.NDArray[Any]]]:
        for index in range(len(calibration)):
            yield {name: values[index : index + 1] for name, values in calibration.features.items()}

    return examples


def make(
    saved_model: str,
    options: ConvertOptions,
    granularity: Granularity,
    calibration: Arrays | None,
    sparse: bool = False,
) -> Any:
    """A tf.lite.TFLiteConverter.

    Args:
        saved_model: Folder of the model.
        options: Options of the conversion.
        granularity: Granularity of the scales.
        calibration: Examples to take ranges from; None if there is no need for them.
        sparse: Whether zeros are encoded sparsely.
    """
    quantization, ops = options.quantization, tf.lite.OpsSet
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=[SIGNATURE])
    optimizations = [] if quantization == "float32" else [tf.lite.Optimize.DEFAULT]
    converter.optimizations = optimizations + [tf.lite.Optimize.EXPERIMENTAL_SPARSITY] * sparse
    if quantization == "float16":
        converter.target_spec.supported_types = [tf.float16]
    supported = [ops[name] for name in options.supported_ops]
    if calibration is not None:
        converter.representative_dataset = representative_dataset(calibration)
        if quantization == "int16x8":
            supported.insert(0, ops.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8)
        elif not supported:
            supported = [ops.TFLITE_BUILTINS_INT8]
    if supported:
        converter.target_spec.supported_ops = supported
    # The one switch that there is for it, also in later versions.
    converter._experimental_disable_per_channel = granularity == "per-tensor"
    io = {"int8": tf.int8, "uint8": tf.uint8, "int16": tf.int16}.get(options.io)
    if io is not None:
        converter.inference_input_type = converter.inference_output_type = io
    return converter
