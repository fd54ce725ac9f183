"""A compiled pipeline, run task by task, gives the same result as a run on this machine.

`make soak` adds a candidate that is trained, and the whole of configs/mnist.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.evaluator.verdict import Verdict
from components.selector.report import SelectorReport
from pipeline.kubeflow.outcome import read as read_outcome
from tests.e2e.project import Project, make_project
from tests.pipeline.kubeflow.conftest import IMAGE, ROOT
from tests.pipeline.kubeflow.launcher import Launcher, TaskFailed, TaskServer, environment_of

pytestmark = pytest.mark.e2e


@dataclass
class Cluster:
    """A compiled project, what runs it, and what `paredown run` prints, which runs meanwhile."""

    candidates: list[str]
    project: Project
    text: str
    server: TaskServer
    local: Future[dict[str, Any]]

    def launcher(self, folder: Path, **attributes: Any) -> Launcher:
        directory = self.project.root
        return Launcher.of(
            self.text,
            folder=folder,
            directory=directory,
            environment=environment_of(directory),
            server=self.server,
            **attributes,
        )


@pytest.fixture(
    scope="module",
    params=[["int8"], pytest.param(["int8", "pruned"], marks=pytest.mark.soak)],
    ids="+".join,
)
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    root = tmp_path_factory.mktemp("cluster") / "project"
    project = make_project(root, train=1000, test=200, program=True)
    only = [part for name in request.param for part in ("--only", name)]
    server = TaskServer(root, environment_of(root))
    with ThreadPoolExecutor(1) as pool, closing(server):
        local = pool.submit(project.run, *only)
        yield Cluster(request.param, project, compile_project(project.cold(), only), server, local)


def compile_project(project: Project, only: list[str]) -> str:
    root = project.root
    arguments = ["compile", "pipeline.yaml", *only, "--image", IMAGE, "-o", "-"]
    arguments += ["--pipeline-root", "minio://bucket/paredown"]
    for setting in (
        f"data_path={root}/data",
        f"volumes=[{{claim: models, mount: {root}/volume}}]",
        f"push_directory={root}/volume/serving",
    ):
        arguments += ["--set", f"kubeflow.{setting}"]
    # By the project's own copy of Paredown, which its tasks run, too.
    compiled = project.paredown(*arguments)
    assert compiled.code == 0, compiled.err
    return compiled.out


@pytest.fixture(scope="module")
def finished(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    """After every task has run."""
    # One task that trains begins with nothing imported, as in a container.
    launcher = cluster.launcher(tmp_path_factory.mktemp("run"), fresh=frozenset({"trainer"}))
    launcher.run()
    return launcher


def report_of(launcher: Launcher) -> dict[str, Any]:
    return json.loads((launcher.artifact("selector", "report") / "report.json").read_text(encoding="utf-8"))


def test_verdicts_winner_and_pushed_file_are_those_of_a_local_run(
    cluster: Cluster, finished: Launcher
) -> None:
    local = cluster.local.result()
    report = report_of(finished)
    assert set(report["candidates"]) == set(cluster.candidates)
    for name, verdict in report["candidates"].items():
        expected = local["candidates"][name]
        assert verdict["blessed"] == expected["blessed"]
        assert verdict["reasons"] == expected["reasons"]
        for figure in ("accuracy", "size", "invariants", "steps", "file"):
            assert verdict["measured"][figure] == expected["measured"][figure], figure
    # The pruned one's float32 file is as large as the baseline's.
    assert [name for name, verdict in report["candidates"].items() if verdict["blessed"]] == ["int8"]
    assert report["winner"] == local["winner"] == "int8"
    (version,) = (cluster.project.root / "volume/serving").iterdir()
    pushed = (version / "tflite").read_bytes()
    assert pushed == (Path(local["pushed"]) / "tflite").read_bytes()
    assert pushed == (finished.artifact("pusher", "pushed_model") / "tflite").read_bytes()


def test_facts_of_artifacts_reach_kubeflow_with_uris_of_its_store(
    cluster: Cluster, finished: Launcher
) -> None:
    outputs = {name: result.outputs for name, result in finished.results.items()}
    for name, artifacts in outputs.items():
        for key, artifact in artifacts.items():
            assert artifact["uri"] == f"minio://bucket/paredown/run-1/{name}/{key}"
    assert outputs["selector"]["model"]["metadata"]["candidate"] == "int8"
    facts = outputs["selector"]["report"]["metadata"]
    assert (facts["passed"], facts["candidates"]) == (1, len(cluster.candidates))
    pruned = [name for name in outputs if name.startswith("prune") and "convert" not in name]
    assert len(pruned) == len(cluster.candidates) - 1
    for name in pruned:
        assert outputs[name]["model"]["metadata"]["least_layer_sparsity"] >= 0.495
    assert outputs["pusher"]["pushed_model"]["metadata"]["pushed"] == 1


def test_each_task_writes_lines_of_json(finished: Launcher) -> None:
    for name, result in finished.results.items():
        entries = [json.loads(line) for line in result.log.splitlines() if line.startswith("{")]
        assert entries[-1]["message"] == "done", name
        assert {entry["node"] for entry in entries} == {name}
    trainer = finished.results["trainer"].log
    assert '"message": "epoch 3/3' in trainer


def test_the_verdict_and_the_winner_are_in_the_logs(cluster: Cluster, finished: Launcher) -> None:
    report = report_of(finished)
    said = {name: read_outcome(result.log) for name, result in finished.results.items()}
    assert said["selector"].winner == report["winner"]
    verdicts = [Verdict.from_json(one.verdict) for one in said.values() if one.verdict is not None]
    judged = SelectorReport.from_json(report).candidates
    assert len(verdicts) == len(judged) and all(verdict in verdicts for verdict in judged.values())


def rerun(cluster: Cluster, finished: Launcher, folder: Path, task: str, **parameters: Any) -> Launcher:
    """Runs one task again with what the others left, and other parameters of the run."""
    shutil.copytree(finished.folder / "store", folder / "store")
    launcher = cluster.launcher(folder, run_id="run-2", parameters=parameters)
    launcher.results.update({name: result for name, result in finished.results.items() if name != task})
    launcher.results[task] = launcher.run_task(task)
    return launcher


def test_seed_and_push_directory_are_the_runs(cluster: Cluster, finished: Launcher, tmp_path: Path) -> None:
    # The config's is 7: with it, the files are those of a local run.
    other = rerun(cluster, finished, tmp_path / "other", "trainer", seed=8)
    model = "Format-Serving/variables/variables.data-00000-of-00001"
    first, different = (
        (launcher.artifact("trainer", "model") / model).read_bytes() for launcher in (finished, other)
    )
    assert different != first
    rerun(cluster, finished, tmp_path / "pushed", "pusher", push_directory=str(tmp_path / "elsewhere"))
    (version,) = (tmp_path / "elsewhere").iterdir()
    assert [file.name for file in version.iterdir()] == ["tflite"]


def test_a_failed_task_ends_with_the_cause(cluster: Cluster, finished: Launcher, tmp_path: Path) -> None:
    with pytest.raises(TaskFailed) as failed:
        rerun(cluster, finished, tmp_path, "import-example-gen", data_path=str(tmp_path / "none"))
    assert failed.value.code == 3
    last = json.loads(failed.value.log.splitlines()[-1])
    assert last["severity"] == "ERROR"
    assert last["message"].startswith("import-example-gen failed: ")
    assert f"{tmp_path}/none" in last["message"]
    entries = [json.loads(line) for line in failed.value.log.splitlines() if line.startswith("{")]
    assert "Traceback (most recent call last)" in entries[-2]["traceback"]


@pytest.mark.soak
def test_the_example_gives_the_same_result() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.pipeline.kubeflow.check_parity"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
