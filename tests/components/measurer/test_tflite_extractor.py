"""Predictions inside TFMA, held against a plain loop over the same file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
import tensorflow_model_analysis as tfma
from ai_edge_litert.interpreter import Interpreter
from tensorflow_model_analysis.extractors import tflite_predict_extractor

from components.common.data.arrays import Arrays
from components.common.tflite.litert import LiteRTError, LiteRTModel
from components.common.tflite.litert_batch import predict_batch
from components.measurer.tflite_extractor import tflite_extractor
from tests.components.conftest import Step
from tests.conftest import Digits, Trained


def fingerprint(image: np.ndarray) -> str:
    return hashlib.sha256(np.asarray(image, np.int64).tobytes()).hexdigest()


def plain_loop(path: str, images: np.ndarray) -> dict[str, np.ndarray]:
    """Image → output, by an interpreter, one image at a time, rounding and clipping its pixels."""
    interpreter = Interpreter(model_path=path)
    interpreter.allocate_tensors()
    (given,), (wanted,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert given["dtype"] == wanted["dtype"] == np.int8
    (scale, zero), (out_scale, out_zero) = given["quantization"], wanted["quantization"]
    found = {}
    for image in images:
        quantized = np.clip(np.round(image / scale) + zero, -128, 127).astype(np.int8)
        interpreter.set_tensor(given["index"], quantized.reshape(1, 28, 28, 1))
        interpreter.invoke()
        output = interpreter.get_tensor(wanted["index"])[0].astype(np.float64)
        found[fingerprint(image)] = ((output - out_zero) * out_scale).astype(np.float32)
    return found


def through_beam(extractor: Any, examples: Any, folder: Path, config: Any) -> dict[str, np.ndarray]:
    """Image → prediction, by an extractor in a Beam pipeline that reads the eval split."""
    from tfx_bsl.public import tfxio

    source = tfxio.TFExampleRecord(
        file_pattern=examples.files("eval"), schema=examples.schema(), telemetry_descriptors=["test"]
    )
    features = tfma.extractors.FeaturesExtractor(config, source.TensorRepresentations())

    def rows(extracts: dict[str, Any]) -> list[str]:
        images = extracts[tfma.FEATURES_KEY]["image"]
        return [
            json.dumps([fingerprint(image), np.asarray(prediction, float).tolist()])
            for image, prediction in zip(images, extracts[tfma.PREDICTIONS_KEY], strict=True)
        ]

    with beam.Pipeline() as pipeline:
        _ = (
            pipeline
            | source.BeamSource()
            | tfma.BatchedInputsToExtracts()
            | "Features" >> features.ptransform
            | "Predictions" >> extractor.ptransform
            | beam.FlatMap(rows)
            | beam.io.WriteToText(str(folder / "rows"))
        )
    lines = [line for path in folder.glob("rows*") for line in path.read_text().splitlines()]
    assert len(lines) == len(set(lines))
    return {key: np.array(values, np.float32) for key, values in map(json.loads, lines)}


@pytest.fixture(scope="module")
def narrow(trained: Trained, mnist_arrays: dict[str, Digits], tmp_path_factory: Any) -> Path:
    """A folder with an int8-I/O file whose input covers half of the brightness that pixels have."""
    from components.common.models import model_files
    from components.tflite_converter.executor import convert
    from components.tflite_converter.params import ConvertOptions

    dim = (mnist_arrays["train"].images[:50] // 2).astype(np.float32).reshape(-1, 28, 28, 1)
    content = convert(
        model_files.serving_dir(trained.uri),
        ConvertOptions(quantization="int8", io="int8"),
        quantization_aware=False,
        calibration=Arrays({"image": dim}, np.zeros(50)),
    )
    folder = tmp_path_factory.mktemp("narrow")
    (folder / "tflite").write_bytes(content)
    return folder


CONFIG = tfma.EvalConfig(model_specs=[tfma.ModelSpec(label_key="label", model_type="tf_lite")])


def test_agrees_with_a_plain_loop_example_by_example(
    narrow: Path, mnist_examples: Any, mnist_arrays: dict[str, Digits], tmp_path: Path
) -> None:
    path = str(narrow / "tflite")
    extractor = tflite_extractor({"candidate": path}, keep=frozenset({"image"}))
    got = through_beam(extractor, mnist_examples, tmp_path, CONFIG)
    expected = plain_loop(path, mnist_arrays["eval"].images)
    assert got.keys() == expected.keys()
    for key, output in expected.items():
        np.testing.assert_array_equal(got[key], output)


def test_tfmas_own_extractor_does_not(
    narrow: Path, mnist_examples: Any, mnist_arrays: dict[str, Digits], tmp_path: Path
) -> None:
    """If this fails one day, TFMA has fixed its extractor, and ours can be removed."""
    model = tfma.default_eval_shared_model(eval_saved_model_path=str(narrow), eval_config=CONFIG)
    extractor = tflite_predict_extractor.TFLitePredictExtractor(CONFIG, model)
    got = through_beam(extractor, mnist_examples, tmp_path, CONFIG)
    expected = plain_loop(str(narrow / "tflite"), mnist_arrays["eval"].images)
    assert got.keys() == expected.keys()
    differing = [key for key, output in expected.items() if np.argmax(got[key]) != np.argmax(output)]
    assert len(differing) > len(expected) / 20


def test_features_that_no_slice_needs_are_dropped(
    narrow: Path, mnist_examples: Any, tmp_path: Path
) -> None:
    extractor = tflite_extractor({"candidate": str(narrow / "tflite")}, keep=frozenset({"label"}))
    with pytest.raises(Exception, match="image"):
        through_beam(extractor, mnist_examples, tmp_path, CONFIG)


def test_a_missing_feature_is_refused(converted: Callable[..., Step], trained: Trained) -> None:
    from components.common.models import model_files

    model = LiteRTModel(model_files.tflite_file(converted(trained.uri, "int8", "int8").uri))
    with pytest.raises(LiteRTError, match=r"needs the feature 'image'; the examples have \['pixels'\]"):
        predict_batch(model, {"pixels": np.zeros((2, 784))}, "the candidate")
