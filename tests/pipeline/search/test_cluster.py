"""`paredown submit --search`: each round is a run of its own on a Kubeflow Pipelines server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from components.evaluator.judgement import FailureKind, Judgement, accuracy_figure
from components.evaluator.verdict import Verdict
from components.measurer.measured import Accuracy, Measured, Size, Sizes
from pipeline.cli import main
from pipeline.config.config_file import load
from pipeline.kubeflow.task_names import task_names
from pipeline.plan.planner import make_plan
from pipeline.search import rounds
from pipeline.store.search_record import Trial
from tests.pipeline.kubeflow.api_server import ApiServer
from tests.pipeline.kubeflow.conftest import IMAGE, fast, server  # noqa: F401
from tests.pipeline.kubeflow.test_watch import log_of

pytestmark = [pytest.mark.tf, pytest.mark.usefixtures("fast")]

QUANTIZATIONS = ("int8", "dynamic", "float16", "int16x8")
CONFIG = f"""\
name: digits
data: {{path: {{data}}, label: label, splits: {{eval: "test*"}}}}
model: {{module: configs.mnist.model, hparams: {{filters: [4, 8], units: 16, learning_rate: 0.001}}}}
search:
  space: [{{convert: {{quantization: {{choose: [{", ".join(QUANTIZATIONS)}]}}}}}}]
  trials: 4
  round: 2
  finalists: 2
gate: {{accuracy: {{metric: SparseCategoricalAccuracy, max_drop: 0.01}}}}
select: {{minimize: gzip_size}}
push: {{directory: serving}}
run: {{pipeline_root: {{root}}}}
kubeflow: {{data_path: /data, push_directory: gs://bucket/serving}}
"""
SIZES = dict(zip(QUANTIZATIONS, (800, 700, 1500, 900), strict=True))
POORER = "dynamic"  # which misses the limit

Search = Callable[..., Result]


def verdict(quantization: str) -> Verdict:
    drop = 0.05 if quantization == POORER else 0.0
    missed = FailureKind.BEYOND_LIMIT if drop else None
    judged = Judgement.on(accuracy_figure("Accuracy"), "max_drop", 0.01, drop, "too low", missed)
    measured = Measured(
        size=Sizes(Size(SIZES[quantization], SIZES[quantization]), Size(4000, 3600)),
        accuracy=Accuracy("Accuracy", True, candidate=0.9 - drop, baseline=0.9),
    )
    return Verdict(not missed, ("too low",) if missed else (), (judged,), measured)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for split in ("train", "test"):
        (folder / f"{split}.tfrecord").write_bytes(split.encode())
    made = tmp_path / "config.yaml"
    text = CONFIG.replace("{data}", str(folder)).replace("{root}", str(tmp_path / "root"))
    made.write_text(text, encoding="utf-8")
    return made


@pytest.fixture
def tasks(path: Path) -> dict[str, str]:
    """Quantization → the task that judges it, in rounds and in the last run."""
    file = load(path)
    trials = [Trial(n, {"convert.quantization": json.dumps(one)}) for n, one in enumerate(QUANTIZATIONS)]
    plan = make_plan(rounds.round_file(file, trials).config, path)
    return {one: task_names(plan)[plan.evaluations[f"trial-{n}"]] for n, one in enumerate(QUANTIZATIONS)}


@pytest.fixture
def answering(server: ApiServer, tasks: dict[str, str]) -> ApiServer:  # noqa: F811
    """A server on which every task succeeds, and the log of each Evaluator has a verdict."""
    ended = dict.fromkeys([*tasks.values(), "selector", "pusher"], "SUCCEEDED")
    server.state.script = [("SUCCEEDED", ended)]
    server.state.logs = {
        task: log_of(code=0, verdict=verdict(one).to_json()) for one, task in tasks.items()
    }
    server.state.logs["pusher"] = log_of(code=0, pushed=True, destination="gs://bucket/serving/1")
    return server


@pytest.fixture
def search(path: Path, server: ApiServer) -> Search:  # noqa: F811
    def call(*arguments: str) -> Result:
        given = ["submit", str(path), "--search", "--host", server.url, "--poll-interval", "0.01s"]
        given += ["--image", IMAGE, "--pipeline-root", "gs://bucket/root", *arguments]
        return CliRunner().invoke(main, given)

    return call


def judged(server: ApiServer, run: Any, tasks: dict[str, str]) -> set[str]:  # noqa: F811
    """The quantizations that a run judges."""
    text = server.state.specs[run.pipeline_version_reference.pipeline_version_id]
    (spec,) = yaml.safe_load_all(text)
    return {one for one, task in tasks.items() if task in spec["root"]["dag"]["tasks"]}


def test_each_round_is_a_run_and_the_last_one_pushes(
    search: Search, answering: ApiServer, tasks: dict[str, str]
) -> None:
    answering.state.logs["selector"] = log_of(code=0, winner="trial-x")
    result = search("--json", "--param", "push_directory=gs://bucket/other", "--param", "seed=3")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    first, second, last = answering.state.runs.values()
    assert [one.display_name for one in (first, second, last)] == [
        f"{found['study']}-{part}" for part in ("round-1", "round-2", "last")
    ]
    assert judged(answering, first, tasks) | judged(answering, second, tasks) == set(QUANTIZATIONS)
    assert len(judged(answering, first, tasks)) == len(judged(answering, second, tasks)) == 2
    # Rounds have no task that pushes, and other examples to judge on than the last run.
    assert "push_directory" not in first.runtime_config.parameters
    assert last.runtime_config.parameters["push_directory"] == "gs://bucket/other"
    assert first.runtime_config.parameters["seed"] == last.runtime_config.parameters["seed"] == 3
    assert (
        first.runtime_config.parameters["data_fingerprint"]
        == second.runtime_config.parameters["data_fingerprint"]
        != last.runtime_config.parameters["data_fingerprint"]
    )
    fates = {one["steps"][0]["convert"]["quantization"]: one["fate"] for one in found["trials"]}
    assert fates == {one: "missed a limit" if one == POORER else "passed" for one in QUANTIZATIONS}
    assert judged(answering, last, tasks) == {"int8", "int16x8"}
    assert (found["winner"], found["last"]["pushed"]) == ("trial-x", "gs://bucket/serving/1")


def test_a_search_that_is_continued_follows_the_runs_that_are_there(
    search: Search, answering: ApiServer
) -> None:
    whole = answering.state.logs
    answering.state.logs = {}
    stopped = search()
    assert stopped.exit_code == 5, stopped.output
    assert re.search(r"no log of convert-\S+-evaluate, which has the verdict", stopped.stderr)
    answering.state.logs = {**whole, "selector": log_of(code=0, winner="")}
    result = search()
    assert result.exit_code == 4, result.output
    assert "No candidate passed the gate; nothing was pushed." in result.stdout
    assert len(answering.state.runs) == 3


def test_a_trial_whose_task_fails_fails_alone(
    search: Search, answering: ApiServer, tasks: dict[str, str]
) -> None:
    convert = tasks["float16"].removesuffix("-evaluate")
    states = {**answering.state.script[0][1], convert: "FAILED"}
    del states[tasks["float16"]]
    answering.state.script = [("FAILED", states)]
    answering.state.logs[convert] = log_of(code=3, reason="no memory")
    del answering.state.logs[tasks["float16"]]
    result = search("--json", "--set", "search.round=4", "--set", "search.trials=4")
    # The script is that of every run, so that the last one fails, too.
    assert result.exit_code == 3, result.output
    assert re.search(r"quantization: float16\) +failed", result.stderr)
    assert re.search(r"quantization: int8\) +passed", result.stderr)
    assert [run.display_name.split("-", 2)[2] for run in answering.state.runs.values()] == [
        "round-1",
        "last",
    ]


def test_a_baseline_that_fails_ends_the_search(search: Search, answering: ApiServer) -> None:
    answering.state.script = [("FAILED", {"trainer": "FAILED"})]
    answering.state.logs = {"trainer": log_of(code=3, reason="no such file")}
    result = search()
    assert result.exit_code == 3
    assert "Task trainer failed: no such file" in result.stderr
    assert len(answering.state.runs) == 1


def test_what_does_not_go_with_a_search_is_refused(search: Search, path: Path) -> None:
    assert "--run-name cannot be combined with --search" in search("--run-name", "x").stderr
    assert "no parameter 'sed'; did you mean 'seed'?" in search("--param", "sed=3").stderr
    path.write_text(
        re.sub(r"(?ms)^search:.*?^gate:", "gate:", path.read_text(encoding="utf-8")), encoding="utf-8"
    )
    assert search().exit_code == 2


def test_the_first_round_is_compiled(path: Path, tasks: dict[str, str], tmp_path: Path) -> None:
    output = tmp_path / "round.yaml"
    given = ["compile", str(path), "--search", "--image", IMAGE, "--pipeline-root", "gs://bucket/root"]
    result = CliRunner().invoke(main, [*given, "-o", str(output)])
    assert result.exit_code == 0, result.output
    spec = next(iter(yaml.safe_load_all(output.read_text(encoding="utf-8"))))
    found = set(spec["root"]["dag"]["tasks"])
    assert len(found & set(tasks.values())) == 2 and "pusher" not in found
    reader = json.loads(
        spec["root"]["dag"]["tasks"]["import-example-gen"]["inputs"]["parameters"]["input_config"][
            "runtimeValue"
        ]["constant"]
    )
    assert [split["pattern"] for split in reader["splits"]] == ["train*"]
