"""TFX's Trainer with an executor that knows the model by its content."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from tfx import types
from tfx.components import Trainer as TfxTrainer
from tfx.proto import trainer_pb2
from tfx.types import standard_artifacts
from tfx.utils import proto_utils

from components.common.base.distribution_options import Distribution
from components.common.models import model_files
from components.common.training import worker_group
from components.tflite_converter.executor import convert_model
from components.tflite_converter.params import ConvertOptions
from components.trainer.component import Trainer
from components.trainer.executor import Executor
from components.trainer.params import TrainOptions
from tests.components.conftest import make_job, run_step
from tests.conftest import LABEL_OPTIONS, MNIST_HPARAMS, MNIST_MODULE, Digits

RUN_FN = "components.trainer.run_fn.run_fn"


def artifact(kind: Any, uri: Path | str) -> Any:
    made = kind()
    made.uri = str(uri)
    return made


def train(examples_artifact: Path, folder: Path, options: TrainOptions) -> Any:
    """Runs the node; returns the artifact of the model."""
    examples = artifact(standard_artifacts.Examples, examples_artifact / "examples")
    examples.split_names = '["train", "eval"]'
    model = artifact(standard_artifacts.Model, folder / "model")
    config = {
        "model_module": MNIST_MODULE,
        "hparams": json.dumps(MNIST_HPARAMS),
        "model_source": "{}",
        "params": options.model_dump_json(),
        "label": "label",
        "label_options": LABEL_OPTIONS,
        "seed": 1,
    }
    Executor().Do(
        {
            "examples": [examples],
            "schema": [artifact(standard_artifacts.Schema, examples_artifact / "schema")],
        },
        {
            "model": [model],
            "model_run": [artifact(standard_artifacts.ModelRun, folder / "run")],
        },
        {
            "run_fn": RUN_FN,
            "custom_config": json.dumps(config),
            "train_args": proto_utils.proto_to_json(trainer_pb2.TrainArgs(splits=["train"])),
            "eval_args": proto_utils.proto_to_json(trainer_pb2.EvalArgs(splits=["eval"])),
        },
    )
    return model


def test_the_baseline_is_known_by_its_content(examples_artifact: Path, tmp_path: Path) -> None:
    model = train(examples_artifact, tmp_path, TrainOptions(epochs=1, batch_size=500))

    files = json.loads(model.get_string_custom_property("files"))
    assert {"Format-Keras/model.h5", "Format-Serving/saved_model.pb"} <= set(files)
    for name, digest in files.items():
        assert digest == hashlib.sha256((tmp_path / "model" / name).read_bytes()).hexdigest()
    kept = {path.name for path in (tmp_path / "model").iterdir()}
    assert kept == {
        "Format-Keras", "Format-Serving", "history.json", "optimization.json", "training.json",
    }  # fmt: skip
    assert model.get_string_custom_property("distribution") == "none"
    assert model.get_int_custom_property("replicas") == 1
    assert model.get_string_custom_property("precision") == "float32"
    assert list((tmp_path / "run" / "train").glob("events.out.tfevents.*"))
    signature = tf.saved_model.load(f"{tmp_path}/model/Format-Serving").signatures["serving_default"]
    assert list(signature(image=tf.zeros((1, 28, 28, 1)))) == ["probabilities"]


def test_a_baseline_of_two_replicas_is_like_any_other(
    examples_artifact: Path, mnist_examples: Any, mnist_arrays: dict[str, Digits], tmp_path: Path
) -> None:
    options = TrainOptions(epochs=3, batch_size=50, distribution=Distribution(kind="mirrored", devices=2))
    model = train(examples_artifact, tmp_path, options)
    job = make_job(model.uri, tmp_path / "tflite", ConvertOptions(quantization="float32"), mnist_examples)
    run_step(convert_model, job)
    interpreter = Interpreter(model_files.tflite_file(job.output))
    images = mnist_arrays["eval"].images.reshape(-1, 28, 28, 1).astype(np.float32)
    (given,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], images)
    interpreter.invoke()
    classes = np.argmax(interpreter.get_tensor(output["index"]), axis=1)
    history = json.loads((tmp_path / "model" / "history.json").read_text(encoding="utf-8"))

    assert model.get_string_custom_property("distribution") == "mirrored"
    assert model.get_int_custom_property("replicas") == 2
    assert "Format-Keras/model.h5" in json.loads(model.get_string_custom_property("files"))
    assert list((tmp_path / "run" / "train").glob("events.out.tfevents.*"))
    accuracy = np.mean(classes == mnist_arrays["eval"].labels)
    assert accuracy == pytest.approx(history["epochs"][-1]["val_accuracy"], abs=1e-6)
    assert accuracy > 0.5


def test_a_worker_that_is_not_the_first_leaves_the_model_to_it(
    examples_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers as somebody else starts them: each by TF_CONFIG, on folders that they share."""
    ports = worker_group._free_ports(2)
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    options = TrainOptions(epochs=1, batch_size=500, distribution=Distribution(kind="multi_worker"))
    config = {"cluster": cluster, "task": {"type": "worker", "index": 1}}
    first = {**os.environ, "TF_CONFIG": json.dumps({**config, "task": {"type": "worker", "index": 0}})}
    program = (
        "import sys; from pathlib import Path; from tests.components.trainer import test_executor as t; "
        "t.train(Path(sys.argv[1]), Path(sys.argv[2]), t.TrainOptions.model_validate_json(sys.argv[3]))"
    )
    arguments = [str(examples_artifact), str(tmp_path), options.model_dump_json()]
    chief = subprocess.Popen([sys.executable, "-c", program, *arguments], env=first, cwd=Path.cwd())
    try:
        monkeypatch.setenv("TF_CONFIG", json.dumps(config))
        model = train(examples_artifact, tmp_path, options)
        assert chief.wait(120) == 0
    finally:
        chief.kill()
        chief.wait()
    facts = json.loads((tmp_path / "model" / "training.json").read_text(encoding="utf-8"))

    assert model.get_string_custom_property("cluster_task") == "worker 1"
    assert not model.get_string_custom_property("files")
    assert (facts["distribution"], facts["replicas"]) == ("multi_worker", 2)
    assert (tmp_path / "model" / "Format-Keras" / "model.h5").exists()
    assert len(list((tmp_path / "run" / "train").glob("events.out.tfevents.*"))) == 1


def test_the_node_is_one_of_tfx() -> None:
    node = Trainer(
        examples=types.Channel(type=standard_artifacts.Examples),
        schema=types.Channel(type=standard_artifacts.Schema),
        run_fn=RUN_FN,
        custom_config={"code_version": "abc"},
    )

    assert isinstance(node, TfxTrainer) and node.id == "Trainer"
    assert node.executor_spec.class_path == "components.trainer.executor.Executor"
    assert node.spec.exec_properties["custom_config"] == '{"code_version": "abc"}'
    assert list(node.outputs) == ["model", "model_run"]
