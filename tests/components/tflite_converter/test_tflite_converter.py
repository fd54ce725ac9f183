"""Conversion: what is in each kind of file, read with the interpreter that people deploy on."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from ai_edge_litert.interpreter import Interpreter

from components.common.base.interruption import Interrupted
from components.common.data.arrays import Arrays
from components.common.data.examples import Examples
from components.common.data.model_inputs import InputSpec
from components.common.models import model_files
from components.common.models.model_files import StepRecord
from components.common.tflite import tflite_file
from components.common.tflite.litert import LiteRTModel
from components.tflite_converter.executor import (
    ConversionError,
    convert,
    convert_model,
    signature_inputs,
)
from components.tflite_converter.params import ConvertOptions
from tests.components.conftest import Step, make_job, must_keep, run_step
from tests.conftest import MNIST_SCHEMA, Digits, Trained, to_example, write_examples

f32, f16, i8, i16 = np.float32, np.float16, np.int8, np.int16
LAYERS = ["conv1", "conv2", "dense", "probabilities"]
SHAPES = {"conv1": (4, 3, 3, 1), "conv2": (8, 3, 3, 4), "dense": (16, 392), "probabilities": (10, 16)}
# Quantization and io → type of inputs and outputs, types of kernels, largest error of a probability.
FORMATS: dict[tuple[str, str], tuple[Any, dict[str, Any], float]] = {
    ("float32", "float32"): (f32, dict.fromkeys(LAYERS, f32), 1e-5),
    # Dynamic range leaves kernels of fewer than 1,024 weights in float.
    ("dynamic", "float32"): (f32, {**dict.fromkeys(LAYERS, f32), "dense": i8}, 0.05),
    ("float16", "float32"): (f32, dict.fromkeys(LAYERS, f16), 0.01),
    ("int8", "float32"): (f32, dict.fromkeys(LAYERS, i8), 0.2),
    ("int8", "int8"): (i8, dict.fromkeys(LAYERS, i8), 0.2),
    ("int16x8", "float32"): (f32, dict.fromkeys(LAYERS, i8), 0.05),
    ("int16x8", "int16"): (i16, dict.fromkeys(LAYERS, i8), 0.05),
}
ids = ["-".join(key) for key in FORMATS]


def interpreter_of(step: Step) -> Interpreter:
    interpreter = Interpreter(model_files.tflite_file(step.uri))
    interpreter.allocate_tensors()
    return interpreter


def operators(step: Step) -> set[str]:
    return {operator["op_name"] for operator in interpreter_of(step)._get_ops_details()}


@pytest.mark.parametrize(("quantization", "io"), FORMATS, ids=ids)
def test_types_of_inputs_outputs_and_kernels(
    trained: Trained, converted: Callable[..., Step], quantization: str, io: str
) -> None:
    step = converted(trained.uri, quantization, io)
    io_type, kernel_types, _ = FORMATS[quantization, io]
    interpreter = interpreter_of(step)
    (given,), (wanted,) = interpreter.get_input_details(), interpreter.get_output_details()

    assert (given["dtype"], wanted["dtype"]) == (io_type, io_type)
    assert (tuple(given["shape"]), tuple(wanted["shape"])) == ((1, 28, 28, 1), (1, 10))
    assert interpreter.get_signature_list() == {
        "serving_default": {"inputs": ["image"], "outputs": ["probabilities"]}
    }
    by_flatbuffer = {
        layer: kernel.values.dtype.type
        for layer in LAYERS
        for kernel in tflite_file.read(model_files.tflite_file(step.uri)).kernels
        if layer in kernel.layers
    }
    assert by_flatbuffer == kernel_types
    for layer, shape in SHAPES.items():
        details = [d for d in interpreter.get_tensor_details() if tuple(d["shape"]) == shape]
        assert kernel_types[layer] in {d["dtype"] for d in details}


@pytest.mark.parametrize(("quantization", "io"), FORMATS, ids=ids)
def test_predictions_are_near_those_of_keras(
    trained: Trained,
    converted: Callable[..., Step],
    mnist_arrays: dict[str, Digits],
    quantization: str,
    io: str,
) -> None:
    images = mnist_arrays["eval"].images[:100]
    expected = model_files.load(trained.uri)(images.reshape(-1, 28, 28, 1).astype(f32)).numpy()
    model = LiteRTModel(model_files.tflite_file(converted(trained.uri, quantization, io).uri))
    outputs = np.stack([model.predict({"image": image})["probabilities"] for image in images])

    largest = FORMATS[quantization, io][2]
    assert np.abs(outputs - expected).max() < largest
    assert np.mean(outputs.argmax(axis=1) == expected.argmax(axis=1)) >= 0.95


def test_facts_are_those_of_the_file(trained: Trained, converted: Callable[..., Step]) -> None:
    step = converted(trained.uri, "int8", "int8")
    content = Path(model_files.tflite_file(step.uri)).read_bytes()

    expected = {
        "technique": "convert",
        "quantization": "int8",
        "bytes": len(content),
        "gzip_bytes": len(gzip.compress(content, 9, mtime=0)),
    }
    assert {name: step.facts[name] for name in expected} == expected
    options = ConvertOptions(quantization="int8", io="int8", calibration_examples=50)
    assert StepRecord.read(step.uri).steps == [{"technique": "convert", **options.model_dump()}]


def test_files_get_smaller_in_the_order_that_is_promised(
    trained: Trained, converted: Callable[..., Step]
) -> None:
    size = {key: converted(trained.uri, *key).facts["bytes"] for key in FORMATS}

    assert size["float32", "float32"] > 4 * 6700  # four bytes for each of 6,708 weights
    assert size["float16", "float32"] < 0.62 * size["float32", "float32"]
    assert size["dynamic", "float32"] < 0.7 * size["float16", "float32"]
    assert size["int8", "int8"] < size["int8", "float32"] < size["int16x8", "float32"]
    assert size["int8", "float32"] < 0.7 * size["float16", "float32"]


def test_one_model_gives_one_file(trained: Trained, mnist_examples: Any, tmp_path: Path) -> None:
    options = ConvertOptions(quantization="int8", io="int8", calibration_examples=20)
    contents = []
    for name in ("a", "b"):
        run_step(convert_model, make_job(trained.uri, tmp_path / name, options, mnist_examples))
        contents.append(Path(model_files.tflite_file(str(tmp_path / name))).read_bytes())

    assert contents[0] == contents[1]


def test_an_int8_file_has_int8_tensors_from_input_to_output(
    trained: Trained, converted: Callable[..., Step]
) -> None:
    step = converted(trained.uri, "int8", "int8")
    interpreter = interpreter_of(step)

    assert not {"QUANTIZE", "DEQUANTIZE", "FAKE_QUANT"} & operators(step)
    types = {detail["dtype"] for detail in interpreter.get_tensor_details() if detail["name"]}
    assert np.float32 not in types
    # A pixel, 0 to 255, is an int8 value of its own.
    scale, zero_point = interpreter.get_input_details()[0]["quantization"]
    assert (scale, zero_point) == (pytest.approx(1.0, abs=1e-6), -128)


@pytest.mark.parametrize("base", ["quantization_aware", "pruned_quantization_aware"])
def test_a_quantization_aware_model_brings_its_ranges(
    base: str,
    request: pytest.FixtureRequest,
    mnist_arrays: dict[str, Digits],
    examples_artifact: Path,
    tmp_path: Path,
) -> None:
    uri = request.getfixturevalue(base).uri
    (tmp_path / "untrained").mkdir()
    (tmp_path / "untrained/Split-eval").symlink_to(examples_artifact / "examples/Split-eval")
    no_calibration = Examples(str(tmp_path / "untrained"), str(examples_artifact / "schema"), None, "label")
    options = ConvertOptions(quantization="int8", io="int8")
    facts = run_step(convert_model, make_job(uri, tmp_path / "out", options, no_calibration))
    step = Step(str(tmp_path / "out"), facts)

    assert not any("FAKE" in operator for operator in operators(step))
    found = tflite_file.read(model_files.tflite_file(step.uri)).kernels
    assert [kernel.values.dtype for kernel in found] == [np.int8] * 4
    details = interpreter_of(step).get_tensor_details()
    assert {d["dtype"] for d in details if tuple(d["shape"]) in SHAPES.values()} == {np.int8}
    images = mnist_arrays["eval"].images[:100]
    expected = model_files.load(uri)(images.reshape(-1, 28, 28, 1).astype(f32)).numpy()
    model = LiteRTModel(model_files.tflite_file(step.uri))
    outputs = np.stack([next(iter(model.predict({"image": image}).values())) for image in images])
    # Fake quantization while training is what the integers then do, but for a last bit.
    assert np.abs(outputs - expected).max() < 0.1
    assert np.mean(outputs.argmax(axis=1) == expected.argmax(axis=1)) >= 0.97


@pytest.mark.parametrize("base", ["pruned", "pruned_quantization_aware"])
def test_sparsity_arrives_in_the_deployed_int8_file(
    base: str, request: pytest.FixtureRequest, converted: Callable[..., Step]
) -> None:
    step = converted(request.getfixturevalue(base).uri, "int8", "int8")
    details = {tuple(d["shape"]): d for d in interpreter_of(step).get_tensor_details()}

    for layer, shape in SHAPES.items():
        values = interpreter_of(step).get_tensor(details[shape]["index"])
        assert details[shape]["quantization_parameters"]["zero_points"].any() == False  # noqa: E712
        # 80 % of conv1's 36 weights are 28.8.
        assert np.mean(values == 0) == pytest.approx(0.8, abs=0.006 if layer == "conv1" else 0.005)
    assert StepRecord.read(step.uri).layers["dense"] == must_keep(sparsity=0.8)
    assert step.facts["gzip_bytes"] < 0.45 * step.facts["bytes"]


def numbered(count: int) -> Arrays:
    return Arrays({"x": np.arange(count)[:, np.newaxis]}, np.arange(count))


def test_calibration_examples_are_drawn_by_the_seed() -> None:
    drawn = numbered(1000).draw(40, seed=3)

    assert len(drawn) == 40 == len(set(drawn.labels.tolist()))
    assert drawn.labels.tolist() == numbered(1000).draw(40, seed=3).labels.tolist()
    assert drawn.labels.tolist() != numbered(1000).draw(40, seed=4).labels.tolist()
    np.testing.assert_array_equal(drawn.features["x"][:, 0], drawn.labels)
    # From all of them: not the first ones, which may all be alike.
    assert drawn.labels.min() < 200 and drawn.labels.max() > 800


def test_no_more_calibration_examples_than_there_are() -> None:
    assert numbered(7).draw(200, seed=1).labels.tolist() == list(range(7))


def test_ranges_come_from_the_training_split(
    trained: Trained, mnist_arrays: dict[str, Digits], tmp_path: Path
) -> None:
    digits = mnist_arrays["train"]
    records = {
        name: [
            to_example({"image": image // divisor, "label": label})
            for image, label in zip(digits.images[:20], digits.labels, strict=False)
        ]
        for name, divisor in (("train", 5), ("eval", 1))
    }
    folder = write_examples(tmp_path, MNIST_SCHEMA, **records)
    examples = Examples(str(folder / "examples"), str(folder / "schema"), None, "label")
    options = ConvertOptions(quantization="int8", io="int8", calibration_examples=20)
    run_step(convert_model, make_job(trained.uri, tmp_path / "out", options, examples))

    interpreter = interpreter_of(Step(str(tmp_path / "out"), {}))
    scale, _ = interpreter.get_input_details()[0]["quantization"]
    assert 255 * scale == pytest.approx(51, abs=0.5)  # the brightest pixel: 255 // 5


def test_the_signature_gives_the_inputs(trained: Trained) -> None:
    assert signature_inputs(model_files.serving_dir(trained.uri)) == {
        "image": InputSpec((28, 28, 1), np.float32)
    }


def saved(model: tf_keras.Model, folder: Path) -> str:
    model_files.save(model, str(folder), ["x"], StepRecord())
    return model_files.serving_dir(str(folder))


def test_what_the_converter_refuses_is_said(tmp_path: Path) -> None:
    x = tf_keras.layers.Input((3, 3), name="x")
    model = tf_keras.Model(x, tf.linalg.inv(x))

    with pytest.raises(ConversionError, match=r"conversion to float32 failed: (.|\n)*MatrixInverse"):
        convert(saved(model, tmp_path), ConvertOptions(quantization="float32", io="float32"), False, None)


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_ranges_without_examples_are_refused(trained: Trained, quantization: str) -> None:
    options = ConvertOptions(quantization=quantization)

    with pytest.raises(ConversionError, match=f"{quantization} needs examples to take ranges from"):
        convert(model_files.serving_dir(trained.uri), options, False, None)


def test_being_stopped_while_calibrating_is_not_a_failed_conversion(tmp_path: Path) -> None:
    class Stopped(Arrays):
        def __len__(self) -> int:
            raise Interrupted

    x = tf_keras.layers.Input((3,), name="x")
    model = tf_keras.Model(x, tf_keras.layers.Dense(2)(x))
    calibration = Stopped({"x": np.zeros((4, 3), np.float32)}, np.zeros(4))

    with pytest.raises(Interrupted):
        convert(saved(model, tmp_path), ConvertOptions(quantization="int8", io="int8"), False, calibration)


def test_a_fixed_batch_changes_the_shape_alone(
    trained: Trained, converted: Callable[..., Step], mnist_arrays: dict[str, Any]
) -> None:
    opened, fixed = (
        model_files.tflite_file(converted(trained.uri, "int8", "int8", **more).uri)
        for more in ({}, {"fixed_batch": True})
    )
    assert tflite_file.read(opened).inputs["image"].shape == (-1, 28, 28, 1)
    file = tflite_file.read(fixed)
    assert (file.inputs["image"].shape, file.outputs["probabilities"].shape) == ((1, 28, 28, 1), (1, 10))
    assert [k.layer for k in file.kernels] == [k.layer for k in tflite_file.read(opened).kernels]
    images = {"image": mnist_arrays["eval"].images}
    wanted, got = (LiteRTModel(path).predict_each(images)["probabilities"] for path in (opened, fixed))
    np.testing.assert_array_equal(got, wanted)


def test_an_open_batch_is_what_it_always_was() -> None:
    plain, fixed = (ConvertOptions(quantization="int8", fixed_batch=fixed) for fixed in (False, True))
    assert "fixed_batch" not in plain.canonical_json() and plain.slug() == "convert-int8"
    assert ConvertOptions.from_canonical(fixed.canonical_json()) == fixed and fixed.slug() != plain.slug()
