"""run.beam_args on a cluster: who gets them, and the examples of docs/beam.md."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from components.common.base.beam_runner import remote_runner
from tests.pipeline.kubeflow.conftest import MNIST, ROOT
from tests.pipeline.kubeflow.specification import Compile, container_of, tasks_of
from tests.pipeline.kubeflow.test_checks import problem, problems

BEAM_TASKS = {"import-example-gen", "statistics-gen"}
EXAMPLES = {
    str(block["run"]["beam_args"][0]): block["run"]["beam_args"]
    for block in map(
        yaml.safe_load,
        re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/beam.md").read_text(encoding="utf-8"), re.DOTALL),
    )
}


def given(done: Any, task: str, wanted: list[str]) -> bool:
    arguments = container_of(done, task)["args"]
    return arguments[-len(wanted) :] == wanted


def test_the_documented_examples_are_for_the_four_ways() -> None:
    assert {remote_runner(arguments) for arguments in EXAMPLES.values()} == {
        None,
        "DataflowRunner",
        "FlinkRunner",
        "PortableRunner",
    }


@pytest.mark.parametrize(
    ("target", "example"),
    [*(("kubeflow", example) for example in EXAMPLES), ("vertex", next(iter(EXAMPLES)))],
)
def test_every_beam_node_gets_them_and_no_other(compiled: Compile, target: str, example: str) -> None:
    wanted = EXAMPLES[example]
    done = compiled(MNIST, target, f"run.beam_args={json.dumps(wanted)}", only=["int8", "qat-int8"])
    measurers = {task for task in tasks_of(done) if task.endswith("-measure")}
    assert len(measurers) == 2
    for task in tasks_of(done):
        assert given(done, task, wanted) == (task in BEAM_TASKS | measurers), task
        if not given(done, task, wanted):
            assert not set(wanted) & set(container_of(done, task)["args"])
    if target == "vertex":  # which runs ExampleGen's driver too
        driver = container_of(done, "import-example-gen")["lifecycle"]["preCacheCheck"]["args"]
        assert driver[-len(wanted) :] == wanted


def test_transform_gets_them_too(compiled: Compile, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.plan import planner
    from tests.pipeline.kubeflow.conftest import compile_here

    monkeypatch.setattr(planner, "has_function", lambda path, name: True)
    arguments = ["--direct_num_workers=2"]
    done = compile_here(MNIST, "kubeflow", f"run.beam_args={json.dumps(arguments)}", only=["int8"])
    assert given(done, "transform", arguments)
    assert not given(done, "trainer", arguments)


def test_which_runners_have_workers_elsewhere() -> None:
    assert remote_runner([]) is None
    assert remote_runner(["--runner=DirectRunner", "--direct_num_workers=2"]) is None
    assert remote_runner(["--runner=DirectRunner", "--runner=FlinkRunner"]) == "FlinkRunner"
    assert (
        remote_runner(["--runner=apache_beam.runners.portability.flink_runner.FlinkRunner"])
        == "FlinkRunner"
    )


def test_workers_that_could_not_read_artifacts_are_refused() -> None:
    flink = 'run.beam_args=["--runner=FlinkRunner"]'
    assert problems(flink, root="gs://bucket/root") == []
    assert (
        "the workers of FlinkRunner read and write artifacts themselves, but only Kubeflow's tasks can reach minio://"
        in (problem(flink, root="minio://bucket/root"))
    )


def test_dataflow_is_asked_for_what_it_needs() -> None:
    found = problems('run.beam_args=["--runner=DataflowRunner", "--region=r"]', root="gs://b/r")
    assert [text.partition("Dataflow needs ")[2] for text in found] == [
        "--project; add --project=…",
        "--temp_location; add --temp_location=…",
    ]
    arguments = ["--runner=dataflow", "--region=r", "--project=p", "--temp_location=/tmp"]
    reported = problem(f"run.beam_args={json.dumps(arguments)}", root="gs://b/r")
    assert "must be in Cloud Storage, but is /tmp; write gs://…" in reported
