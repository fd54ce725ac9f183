"""TFX's Trainer with an executor that knows the model by its content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import tensorflow as tf
from tfx import types
from tfx.components import Trainer as TfxTrainer
from tfx.proto import trainer_pb2
from tfx.types import standard_artifacts
from tfx.utils import proto_utils

from components.trainer.component import Trainer
from components.trainer.executor import Executor
from components.trainer.params import TrainOptions
from tests.conftest import LABEL_OPTIONS, MNIST_HPARAMS, MNIST_MODULE

RUN_FN = "components.trainer.run_fn.run_fn"


def artifact(kind: Any, uri: Path | str) -> Any:
    made = kind()
    made.uri = str(uri)
    return made


def test_the_baseline_is_known_by_its_content(examples_artifact: Path, tmp_path: Path) -> None:
    examples = artifact(standard_artifacts.Examples, examples_artifact / "examples")
    examples.split_names = '["train", "eval"]'
    model = artifact(standard_artifacts.Model, tmp_path / "model")
    config = {
        "model_module": MNIST_MODULE,
        "hparams": json.dumps(MNIST_HPARAMS),
        "model_source": "{}",
        "params": TrainOptions(epochs=1, batch_size=500).model_dump_json(),
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
            "model_run": [artifact(standard_artifacts.ModelRun, tmp_path / "run")],
        },
        {
            "run_fn": RUN_FN,
            "custom_config": json.dumps(config),
            "train_args": proto_utils.proto_to_json(trainer_pb2.TrainArgs(splits=["train"])),
            "eval_args": proto_utils.proto_to_json(trainer_pb2.EvalArgs(splits=["eval"])),
        },
    )

    files = json.loads(model.get_string_custom_property("files"))
    assert {"Format-Keras/model.h5", "Format-Serving/saved_model.pb"} <= set(files)
    for name, digest in files.items():
        assert digest == hashlib.sha256((tmp_path / "model" / name).read_bytes()).hexdigest()
    kept = {path.name for path in (tmp_path / "model").iterdir()}
    assert kept == {"Format-Keras", "Format-Serving", "history.json", "optimization.json"}
    assert list((tmp_path / "run" / "train").glob("events.out.tfevents.*"))
    signature = tf.saved_model.load(f"{tmp_path}/model/Format-Serving").signatures["serving_default"]
    assert list(signature(image=tf.zeros((1, 28, 28, 1)))) == ["probabilities"]


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
