"""TFX's Trainer with an executor that knows the model by its content."""

from __future__ import annotations

import hashlib
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tfx import types
from tfx.components import Trainer as TfxTrainer
from tfx.proto import trainer_pb2
from tfx.types import standard_artifacts
from tfx.utils import proto_utils

from components.common.base.distribution_options import Distribution
from components.common.data.examples import Examples
from components.common.data.model_inputs import InputSpec
from components.common.models.model_definition import ModelDefinition
from components.common.training import worker_group
from components.trainer import run_fn
from components.trainer.component import Trainer
from components.trainer.executor import Executor
from components.trainer.params import TrainOptions
from tests.components.common.training import distributed_problem as problem
from tests.conftest import LABEL_OPTIONS, MNIST_HPARAMS, MNIST_MODULE, to_example, write_examples

RUN_FN = "components.trainer.run_fn.run_fn"


def artifact(kind: Any, uri: Path | str) -> Any:
    made = kind()
    made.uri = str(uri)
    return made


def train(
    examples_artifact: Path,
    folder: Path,
    options: TrainOptions,
    module: str = MNIST_MODULE,
    hparams: dict[str, Any] = MNIST_HPARAMS,
    seed: int = 1,
) -> Any:
    """Runs the node; returns the artifact of the model."""
    examples = artifact(standard_artifacts.Examples, examples_artifact / "examples")
    examples.split_names = '["train", "eval"]'
    model = artifact(standard_artifacts.Model, folder / "model")
    config = {
        "model_module": module,
        "hparams": json.dumps(hparams),
        "model_source": "{}",
        "params": options.model_dump_json(),
        "label": "label",
        "label_options": LABEL_OPTIONS,
        "seed": seed,
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


@pytest.mark.timeout(300)
def test_a_worker_that_is_not_the_first_leaves_the_model_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers started elsewhere: each by TF_CONFIG, on folders that they share."""
    rows = {
        split: [
            to_example({"x": x, "label": label})
            for x, label in zip(arrays.features["x"], arrays.labels, strict=True)
        ]
        for split, arrays in {
            "train": problem.arrays(), "eval": problem.arrays(problem.EVALUATED, 1)
        }.items()
    }  # fmt: skip
    folder = write_examples(tmp_path / "problem", problem.SCHEMA, **rows)
    ports = worker_group._free_ports(2)
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    options = TrainOptions(
        epochs=problem.EPOCHS, batch_size=problem.BATCH, distribution=Distribution(kind="multi_worker")
    )
    configs = [{"cluster": cluster, "task": {"type": "worker", "index": index}} for index in (0, 1)]
    first = worker_group.WorkerGroup(
        Distribution(kind="multi_worker"), {**os.environ, "TF_CONFIG": json.dumps(configs[0])}
    )
    definition = ModelDefinition(problem.MODULE, {"regression": True})
    arguments = {
        "examples": Examples(f"{folder}/examples", f"{folder}/schema", None, "label"),
        "output": str(tmp_path / "model"),
        "log_dir": str(tmp_path / "run"),
        "definition": definition,
        "options": options,
        "seed": problem.SEED,
    }
    with ThreadPoolExecutor(1) as pool, first:
        # By its module, which TFX loads again in each node.
        chief = pool.submit(first.run, run_fn.train_baseline, arguments, ("output", "log_dir"))
        while not first.processes():
            assert not chief.done(), chief.exception()
            time.sleep(0.01)
        monkeypatch.setenv("TF_CONFIG", json.dumps(configs[1]))
        model = train(folder, tmp_path, options, problem.MODULE, {"regression": True}, problem.SEED)
        chief.result(120)
    facts = json.loads((tmp_path / "model" / "training.json").read_text(encoding="utf-8"))

    assert model.get_string_custom_property("cluster_task") == "worker 1"
    assert not model.get_string_custom_property("files")
    assert (facts["distribution"], facts["replicas"]) == ("multi_worker", 2)
    # Those of the second worker are thrown away.
    assert len(list((tmp_path / "run" / "train").glob("events.out.tfevents.*"))) == 1
    read = arguments["examples"].load("train", {"x": InputSpec((2,), np.float32)})
    expected = problem.by_hand(2, read)
    problem.check_written(str(tmp_path / "model"), *expected["weights"])
    history = json.loads((tmp_path / "model" / "history.json").read_text(encoding="utf-8"))["epochs"]
    for name in ("val_loss", "val_accuracy"):
        assert [epoch[name] for epoch in history] == pytest.approx(expected[name], abs=1e-5)


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
