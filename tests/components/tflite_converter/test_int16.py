"""int16x8 files of layers that the converter treats apart: recurrent ones that are unrolled, and embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from components.common.data.arrays import Arrays
from components.common.models.model_files import StepRecord
from components.common.tflite import file_types, tflite_file
from components.common.tflite.litert import LiteRTModel
from components.tflite_converter import bias_scales, size_prediction
from components.tflite_converter.executor import convert
from components.tflite_converter.params import ConvertOptions

layers = tf_keras.layers
OPTIONS = ConvertOptions(quantization="int16x8")


def exported(model: tf_keras.Model, folder: Path) -> str:
    (given,) = model.inputs
    spec = tf.TensorSpec((1, *given.shape[1:]), given.dtype, name="x")

    def serve(features: dict[str, Any]) -> dict[str, Any]:
        return {"y": model(features["x"], training=False)}

    signature = tf.function(serve, input_signature=[{"x": spec}]).get_concrete_function()
    tf.saved_model.save(model, str(folder), signatures={"serving_default": signature})
    return str(folder)


def largest_error(content: bytes, folder: Path, model: tf_keras.Model, rows: np.ndarray) -> float:
    (folder / "file.tflite").write_bytes(content)
    file = LiteRTModel(str(folder / "file.tflite"))
    found = np.stack([file.predict({"x": row})["y"] for row in rows])
    return float(np.abs(found - model(rows).numpy()).max())


def unequal_steps() -> tuple[tf_keras.Model, np.ndarray]:
    """A GRU whose state has another range at each step, and whose largest weights belong to its smallest values."""
    x = layers.Input((5, 4), name="x")
    memory = layers.GRU(8, unroll=True, name="memory")
    model = tf_keras.Model(x, layers.Dense(3, activation="softmax", name="y")(memory(x)))
    random = np.random.default_rng(0)
    kernel, recurrent, bias = memory.get_weights()
    recurrent *= 0.02
    recurrent[0] = 10.0
    kernel *= 3
    kernel[:, ::8] *= 0.003
    memory.set_weights([kernel, recurrent, bias + 1.0])
    steps = np.linspace(0.02, 2, 5)[None, :, None]
    return model, (random.normal(size=(50, 5, 4)) * steps).astype(np.float32)


def test_each_step_of_an_unrolled_layer_has_a_bias_of_its_own_scale(tmp_path: Path) -> None:
    tf_keras.utils.set_random_seed(3)
    model, rows = unequal_steps()
    content = convert(
        exported(model, tmp_path / "saved"), OPTIONS, False, Arrays({"x": rows}, np.zeros(50))
    )
    file = tflite_file.parse(content)
    added = [
        (operator.inputs[0].scales[0] * operator.inputs[1].scales, operator.inputs[2].scales)
        for operator in file.operators
        if operator.name == "FULLY_CONNECTED" and operator.inputs[2] is not None
    ]
    assert len(added) > 5  # of the input and of the state
    for wanted, scales in added:
        np.testing.assert_allclose(scales, wanted, rtol=1e-5)
    assert len({float(scales[0]) for _, scales in added}) > 3
    assert largest_error(content, tmp_path, model, rows) < 0.01  # it was not loaded at all
    assert bias_scales.separate(content, file) is content


def test_an_embedding_is_int16_in_the_file_and_in_its_prediction(tmp_path: Path) -> None:
    x = layers.Input((5,), dtype="int32", name="x")
    flat = layers.Flatten(name="flat")(layers.Embedding(500, 8, name="words")(x))
    model = tf_keras.Model(x, layers.Dense(3, activation="softmax", name="y")(flat))
    rows = np.random.default_rng(1).integers(0, 500, (50, 5)).astype(np.int32)
    saved = exported(model, tmp_path / "saved")
    content = convert(saved, OPTIONS, False, Arrays({"x": rows}, np.zeros(50)))
    file = tflite_file.parse(content)

    checks = file_types.check(file, OPTIONS.types(), [])
    assert [check.reason for check in checks if not check.met] == []
    assert {kernel.layer: kernel.dtype for kernel in file.kernels} == {"words": "int16", "y": "int8"}
    assert largest_error(content, tmp_path, model, rows) < 0.001
    # Of another quantization it is not right.
    unmet = file_types.check(file, ConvertOptions(quantization="int8").types(), [])
    assert "weights of layer words are int16, not int8" in [check.reason for check in unmet]

    whole = tflite_file.parse(convert(saved, ConvertOptions(quantization="float32"), False, None))
    predicted = size_prediction.predict(whole, OPTIONS, "per-channel", StepRecord())
    assert predicted.kinds == {"words": "int16", "y": "int16x8"}
    assert predicted.layers["words"] == 500 * 8 * 2
    assert abs(predicted.size / len(content) - 1) < 0.05
