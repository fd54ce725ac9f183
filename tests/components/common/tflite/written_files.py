"""TFLite files of small Keras models, and what is read from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from components.common.models import layer_weights, model_files
from components.common.tflite import tflite_file
from components.common.tflite.kernel import Kernel
from components.common.tflite.tflite_file import SIGNATURE, TFLiteFile

layers = tf_keras.layers


def kernel_of(file: TFLiteFile, layer: str) -> Kernel:
    (kernel,) = [kernel for kernel in file.kernels if layer in kernel.layers]
    assert kernel.layer == layer
    return kernel


def file_sparsity(path: str, wanted: list[str]) -> dict[str, float]:
    """Layer → the least share of zeros among its kernels."""
    found = tflite_file.read(path).layer_kernels(wanted)
    return {layer: min(kernel.sparsity() for kernel in own) for layer, own in found.items()}


def sequential(*stack: Any, shape: tuple[int, ...]) -> tf_keras.Model:
    return tf_keras.Sequential([layers.Input(shape, name="x"), *stack])


def set_zeros(model: tf_keras.Model, layer: str, share: float) -> None:
    """Makes a share of a layer's kernel zero, and its bias not: a bias of zeros is left out."""
    kernel = layer_weights.kernel_of(model.get_layer(layer))
    values = np.random.default_rng(1).normal(size=kernel.shape)
    flat = values.reshape(-1)
    flat[np.random.default_rng(2).permutation(flat.size)[: int(share * flat.size)]] = 0
    kernel.assign(values)
    for number, weight in enumerate(model.get_layer(layer).weights):
        if "bias" in weight.name:
            weight.assign(np.random.default_rng(number).normal(size=weight.shape))


def write(
    model: tf_keras.Model, folder: Path, quantization: str = "float32", io: str = "float32", *extra: Any
) -> str:
    """Converts a model; `extra` are further optimizations."""
    model_files.save_serving(model, str(folder), ["x"])
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=[SIGNATURE])
    converter.optimizations = [*([tf.lite.Optimize.DEFAULT] if quantization != "float32" else []), *extra]
    if quantization == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantization == "int8":
        rng = np.random.default_rng(0)
        shape = (1, *model.input_shape[1:])
        converter.representative_dataset = lambda: (
            {"x": rng.random(shape).astype(np.float32)} for _ in range(8)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if io == "int8":
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return save(converter.convert(), folder)


def save(content: bytes, folder: Path) -> str:
    file = folder / "tflite"
    file.write_bytes(content)
    return str(file)


def write_function(function: Any, folder: Path, *specs: tf.TensorSpec, flex: bool = False) -> str:
    concrete = tf.function(function).get_concrete_function(*specs)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    if flex:
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS,
            tf.lite.OpsSet.SELECT_TF_OPS,
        ]
    return save(converter.convert(), folder)


def of_values(values: Any, operator: str = "FULLY_CONNECTED", **changes: Any) -> Kernel:
    """A kernel as it would be read, of given values."""
    values = np.asarray(values)
    fields: dict[str, Any] = {
        "operator": operator,
        "layers": frozenset(),
        "values": values,
        "dtype": values.dtype.name,
        "scales": np.ones(1, np.float32),
        "zero_points": np.zeros(1, np.int64),
        "channel_axis": 0,
        "output_axis": 0,
        "bytes": values.nbytes,
        "sparse": False,
    }
    return Kernel(**{**fields, **changes})
