"""Parameters of a run reach the tasks that they set."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from pathlib import Path

import pytest

from pipeline.config.config_file import load
from pipeline.plan.node import EXAMPLE_GENS
from pipeline.plan.planner import make_plan
from tests.pipeline.kubeflow.conftest import MNIST
from tests.pipeline.kubeflow.specification import Compile, argument, constants_of, every_spec, tasks_of


@every_spec
def test_parameters_of_the_run_reach_what_they_set(compiled: Compile, target: str) -> None:
    done = compiled(MNIST, target)
    bound: dict[str, set[tuple[str, str]]] = {}
    for name, task in tasks_of(done).items():
        for key, value in task["inputs"].get("parameters", {}).items():
            if "componentInputParameter" in value:
                bound.setdefault(value["componentInputParameter"], set()).add((name, key))
            else:
                assert set(value) == {"runtimeValue"}
    assert bound["data_path"] == {("import-example-gen", "input_base")}
    assert bound["data_fingerprint"] == {("import-example-gen", "data_fingerprint")}
    assert bound["push_directory"] == {("pusher", "push_directory")}
    seeded = {
        name
        for name in tasks_of(done)
        if name.startswith(("convert", "prune", "qat", "distill"))
        and not name.endswith(("-evaluate", "-predict"))
    }
    assert bound["seed"] == {(name, "seed") for name in seeded | {"trainer"}}
    assert argument(done, "trainer", "--write") == "seed=custom_config.seed"
    # What the run sets is nowhere else, because it could only be wrong there.
    assert "seed" not in constants_of(done, "trainer")["custom_config"]
    assert constants_of(done, "pusher")["push_destination"] == {"filesystem": {}}
    assert (
        argument(done, "pusher", "--write") == "push_directory=push_destination.filesystem.base_directory"
    )


def test_data_that_change_under_the_same_path_change_the_fingerprint(tmp_path: Path) -> None:
    from pipeline.kubeflow.fingerprint import of_config as fingerprint
    from pipeline.kubeflow.parameters import run_parameters

    (tmp_path / "train-1").write_bytes(b"one")
    (tmp_path / "test-1").write_bytes(b"two")
    config = load(MNIST, [f"data.path={tmp_path}"]).config
    first = fingerprint(config)
    assert re.fullmatch("[0-9a-f]{32}", first)
    (tmp_path / "train-1").touch()
    assert fingerprint(config) == first  # the same content at another time
    (tmp_path / "train-1").write_bytes(b"One")
    second = fingerprint(config)
    (tmp_path / "train-1").write_bytes(b"onet")
    (tmp_path / "test-1").write_bytes(b"wo")
    (tmp_path / "train-2").write_bytes(b"")
    assert len({first, second, fingerprint(config)}) == 3
    plan = make_plan(config, Path(MNIST))
    (found,) = [p for p in run_parameters(plan, config, first) if p.name == "data_fingerprint"]
    assert found.default == first
    # In KFP's cache key is what a task is given, so the fingerprint has to be given to the one that reads.
    assert [binding.node for binding in found.bindings] == [EXAMPLE_GENS["tfrecord"]]


@every_spec
def test_each_task_that_reads_an_imported_model_finds_it_where_the_run_says(
    compiled: Compile, target: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from pipeline.kubeflow.executor_input import write_parameter

    model = tmp_path_factory.mktemp("imported") / "model.keras"
    with zipfile.ZipFile(model, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "2.16.0"}))
        archive.writestr("config.json", json.dumps({"compile_config": {"loss": "mse"}}))
    section = (
        f"model={{module: configs.mnist.model, import: {{path: {model}, inputs: {{input_1: image}}}}}}"
    )
    place = "kubeflow.model_path=/mnt/models/model.keras"
    done = compiled(MNIST, target, section, place, only=["int8", "pruned-int8"])
    tasks = tasks_of(done)

    assert "trainer" not in tasks
    readers = {name for name in tasks if "model_source" in constants_of(done, name)}
    assert "model-importer" in readers and len(readers) == 5
    for name in readers:
        source = constants_of(done, name)["model_source"]
        assert str(model) not in json.dumps(tasks[name])
        assert source["import"]["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
        given = {
            "inputs": {"parameterValues": {"model_path": "gs://b/m", "model_source": json.dumps(source)}}
        }
        write_parameter(given, argument(done, name, "--write"))
        written = json.loads(given["inputs"]["parameterValues"]["model_source"])
        assert written == {"import": {**source["import"], "path": "gs://b/m"}}
    (parameter,) = [known for known in done.parameters if known.name == "model_path"]
    assert parameter.default == "/mnt/models/model.keras"
