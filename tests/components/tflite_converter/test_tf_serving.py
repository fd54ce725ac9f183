"""The SavedModel beside a file: both signatures, and requests to warm up with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from components.common.base.file_hashes import model_digests
from components.common.data.arrays import Arrays
from components.common.models import model_files
from components.common.serving.versions import load
from components.common.tflite.litert import LiteRTModel
from components.pusher import beside
from components.tflite_converter import tf_serving
from components.tflite_converter.executor import convert_model
from components.tflite_converter.params import ConvertOptions
from tests.components.conftest import Step, make_job, run_step
from tests.conftest import Trained

WARMUP = 5


@pytest.fixture(scope="module")
def step(trained: Trained, mnist_examples: Any, tmp_path_factory: pytest.TempPathFactory) -> Step:
    output = tmp_path_factory.mktemp("served") / "model"
    options = ConvertOptions(quantization="float32", saved_model=True, warmup=WARMUP)
    return Step(
        str(output), run_step(convert_model, make_job(trained.uri, output, options, mnist_examples))
    )


def test_tensors_and_examples_are_predicted_as_by_the_file(step: Step, mnist_examples: Any) -> None:
    folder = Path(model_files.serving_dir(step.uri))
    servable = load(folder, threads=1, saved_model=True)
    assert sorted(servable.signatures) == ["examples", "serving_default"]
    assert servable.signature("serving_default").inputs["image"].shape == (None, 28, 28, 1)
    records = list(mnist_examples.records("eval"))[:20]
    images = np.array(
        [tf.train.Example.FromString(r).features.feature["image"].int64_list.value for r in records],
        np.float32,
    ).reshape(-1, 28, 28, 1)
    serialized = np.array(records, object)
    (by_tensors,) = servable.predict("serving_default", [{"image": images}])
    (by_examples,) = servable.predict("examples", [{"examples": serialized}])
    assert isinstance(by_tensors, dict) and isinstance(by_examples, dict)
    by_file = LiteRTModel(model_files.tflite_file(step.uri)).predict_each({"image": images})
    for found in (by_tensors, by_examples):
        np.testing.assert_allclose(found["probabilities"], by_file["probabilities"], atol=1e-5)


def test_requests_to_warm_up_with_are_eval_examples_that_the_model_takes(
    step: Step, mnist_examples: Any
) -> None:
    folder = Path(model_files.serving_dir(step.uri))
    file = folder / "assets.extra" / "tf_serving_warmup_requests"
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(file))
    ]
    requests = [log.predict_log.request for log in logs]
    assert [request.model_spec.signature_name for request in requests] == ["serving_default"] * WARMUP + [
        "examples"
    ]
    signatures = tf.saved_model.load(str(folder)).signatures
    for request in requests:
        given = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        rows = len(next(iter(given.values())))
        made = signatures[request.model_spec.signature_name](
            **{n: tf.constant(v) for n, v in given.items()}
        )
        assert made["probabilities"].shape == (rows, 10)
    known = set(mnist_examples.records("eval"))
    (texts,) = (tf.make_ndarray(tensor) for tensor in requests[-1].inputs.values())
    assert len(texts) == WARMUP and known.issuperset(texts.tolist())


def test_the_order_of_the_examples_decides_no_request(tmp_path: Path) -> None:
    evaluation = Arrays({"x": np.arange(6, dtype=np.float32)[:, np.newaxis]}, np.zeros(6))
    records = [f"example {index}".encode() for index in range(6)]
    for folder, given in (("one", records), ("other", records[::-1])):
        tf_serving.write_warmup(str(tmp_path / folder), evaluation, iter(given), count=3, seed=7)
    one, other = ((tmp_path / folder / tf_serving.WARMUP).read_bytes() for folder in ("one", "other"))
    assert one == other


def test_files_to_deploy_with_are_pushed_beside_it(step: Step, tmp_path: Path) -> None:
    function = "components.targets.server.deployment.write"
    judged = {
        name.removeprefix("Format-Serving/"): digest
        for name, digest in model_digests(step.uri).items()
        if name.startswith("Format-Serving/")
    }
    options = {function: json.loads('{"name": "mnist", "replicas": [1, 2]}')}
    found = beside.add(model_files.serving_dir(step.uri), judged, [function], tmp_path, options=options)
    assert {"tflite", "saved_model.pb", "assets.extra/tf_serving_warmup_requests"} <= set(judged)
    assert {"deploy/models.config", "deploy/kubernetes.yaml", "deploy/kserve.yaml"} <= set(found) - set(
        judged
    )
    assert load(tmp_path, threads=1, saved_model=False).runtime == "LiteRT"


def test_warmup_without_a_saved_model_is_refused() -> None:
    with pytest.raises(ValueError, match="write saved_model: true"):
        ConvertOptions(quantization="int8", warmup=3)
