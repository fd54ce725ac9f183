"""How a deployed file is called: names, order, types; and that it is one file, with its metadata."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils

from components.common.base.installed import version_of
from components.common.models import model_files
from tests.components.conftest import Step
from tests.components.tflite_converter.conftest import Convertible, predict

MODES: list[dict[str, Any]] = [
    {"quantization": "float32"},
    {"quantization": "dynamic"},
    {"quantization": "float16"},
    {"quantization": "int8"},
    {"quantization": "int8", "io": "int8"},
    {"quantization": "int8", "float_ops": ["CONCATENATION"]},
    {"quantization": "int8", "io": "int8", "float_ops": ["CONCATENATION"]},
    {"quantization": "int16x8"},
    {"quantization": "int16x8", "io": "int16"},
]
ids = ["-".join(str(value) for value in mode.values()) for mode in MODES]


def test_outputs_keep_the_baselines_names_after_quantization_aware_training(
    converted: Callable[..., Step], quantization_aware: Step
) -> None:
    path = model_files.tflite_file(converted(quantization_aware.uri, "int8", "int8").uri)
    signatures = Interpreter(path).get_signature_list()
    assert signatures == {"serving_default": {"inputs": ["image"], "outputs": ["probabilities"]}}


@pytest.mark.parametrize("mode", MODES, ids=ids)
def test_several_inputs_and_outputs_keep_names_types_and_shapes(
    several: Convertible, mode: dict[str, Any]
) -> None:
    interpreter = Interpreter(model_content=several.convert(**mode))
    real = np.dtype(mode.get("io", "float32")).type

    assert interpreter.get_signature_list() == {
        "serving_default": {"inputs": ["amounts", "places"], "outputs": ["speed", "tip"]}
    }
    runner = interpreter.get_signature_runner("serving_default")
    given, returned = runner.get_input_details(), runner.get_output_details()
    assert {name: (d["dtype"], tuple(d["shape"])) for name, d in given.items()} == {
        "amounts": (real, (1, 4)),
        "places": (np.int32, (1, 2)),  # whole numbers stay what they are
    }
    assert {name: (d["dtype"], tuple(d["shape"])) for name, d in returned.items()} == {
        "tip": (real, (1, 3)),
        "speed": (real, (1, 2)),
    }
    # The signature's tensors are the file's inputs and outputs, none of which occurs twice.
    for details, of_file in (
        (given, interpreter.get_input_details()),
        (returned, interpreter.get_output_details()),
    ):
        assert sorted(d["index"] for d in details.values()) == sorted(d["index"] for d in of_file)


@pytest.mark.parametrize("mode", MODES, ids=ids)
def test_several_inputs_and_outputs_predict_as_keras_does(
    several: Convertible, mode: dict[str, Any], tmp_path: Path
) -> None:
    largest = 1e-5 if mode["quantization"] == "float32" else 0.03
    assert several.error_of(several.convert(**mode), tmp_path) < largest


@pytest.mark.parametrize("mode", MODES, ids=ids)
def test_a_file_is_one_file_with_the_converters_metadata(
    several: Convertible, mode: dict[str, Any]
) -> None:
    content = several.convert(**mode)
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))

    assert content[4:8] == b"TFL3"
    # Constants of more than 2 GB would be behind the FlatBuffer, at offsets.
    assert {(buffer.offset, buffer.size) for buffer in model.buffers} == {(0, 0)}
    assert not model.metadataBuffer or max(model.metadataBuffer) < len(model.buffers)
    metadata = [(entry.name.decode(), bytes(model.buffers[entry.buffer].data)) for entry in model.metadata]
    extra = {"reduced_precision_support"} if mode["quantization"] == "float16" else set()
    assert {name for name, _ in metadata} == {"min_runtime_version", "CONVERSION_METADATA"} | extra
    # The quantizer writes an empty second one.
    versions = {data.rstrip(b"\0").decode() for name, data in metadata if name == "min_runtime_version"}
    (version,) = versions - {""}
    assert [int(part) for part in version.split(".")] >= [1, 5, 0]
    assert (
        version_of("tensorflow").encode() in dict(metadata)["CONVERSION_METADATA"]
    )  # the TensorFlow that converted it
    assert len(model.signatureDefs) == len(model.subgraphs) == 1


def quantized(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    """To int8, written out apart from the project's code: q = round(x / scale) + zero point, clipped."""
    scale, zero_point = (detail["quantization_parameters"][name][0] for name in ("scales", "zero_points"))
    steps = np.rint(np.asarray(values, np.float64) / np.float64(scale)) + int(zero_point)
    return np.minimum(np.maximum(steps, -128), 127).astype(np.int8)


def real(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    scale, zero_point = (detail["quantization_parameters"][name][0] for name in ("scales", "zero_points"))
    return (values.astype(np.float64) - int(zero_point)) * np.float64(scale)


@pytest.mark.parametrize("model", ["several", "mixed"])
def test_int8_inputs_and_outputs_are_those_that_the_scales_say(
    model: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    convertible: Convertible = request.getfixturevalue(model)
    content = convertible.convert(quantization="int8", io="int8")
    runner = Interpreter(model_content=content).get_signature_runner("serving_default")
    given, returned = runner.get_input_details(), runner.get_output_details()
    features = dict(convertible.examples.features)
    # Values out of the calibrated range have to be clipped, not to wrap around.
    name = next(n for n, values in features.items() if values.dtype == np.float32)
    features[name] = np.concatenate([features[name], features[name][:2] * 50])
    features = {n: np.concatenate([v, v[:2]]) if n != name else v for n, v in features.items()}

    rows = []
    for index in range(len(features[name])):
        example = {n: v[index : index + 1] for n, v in features.items()}
        raw = runner(
            **{n: quantized(v, given[n]) if given[n]["dtype"] == np.int8 else v for n, v in example.items()}
        )
        rows.append({n: real(v, returned[n])[0] for n, v in raw.items()})
    found = predict(content, features, tmp_path)
    for output in returned:
        np.testing.assert_allclose(found[output], np.stack([row[output] for row in rows]), atol=1e-6)
    # The same file but for its ends: casts inside it do what NumPy did outside.
    inside = predict(convertible.convert(quantization="int8"), features, tmp_path)
    for output in returned:
        step = returned[output]["quantization_parameters"]["scales"][0]
        np.testing.assert_allclose(found[output], inside[output], atol=1.01 * step)


@pytest.mark.parametrize("mode", MODES, ids=ids)
def test_one_model_gives_one_file(several: Convertible, mode: dict[str, Any]) -> None:
    assert several.convert(**mode) == several.convert(**mode)
