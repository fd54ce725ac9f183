"""The command line, as far as it goes without TensorFlow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.plan.plan import Plan
from pipeline.run import session

MNIST = "configs/mnist/pipeline.yaml"


@pytest.fixture
def empty_root(tmp_path: Path) -> str:
    """An override that keeps these tests out of the repository's own runs."""
    return f"run.pipeline_root={tmp_path}/root"


def test_validate_says_what_is_valid() -> None:
    result = CliRunner().invoke(main, ["validate", MNIST])
    assert result.exit_code == 0
    assert result.output == f"{MNIST} is valid: 6 candidates\n"


def test_validate_gives_one_line_for_each_mistake(tmp_path: Path) -> None:
    text = Path(MNIST).read_text(encoding="utf-8")
    config = tmp_path / "wrong.yaml"
    config.write_text(
        text.replace("sparsity: 0.8", "sparsity: 1.8").replace("gzip_size}", "gzipsize}"),
        encoding="utf-8",
    )
    result = CliRunner().invoke(main, ["validate", str(config)])
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 3  # two candidates prune
    assert lines[0].startswith(f"{config}:")
    assert "must be less than 1" in lines[0]
    assert "did you mean 'gzip_size'?" in lines[2]


def test_validate_as_json_is_for_scripts(tmp_path: Path) -> None:
    missing = tmp_path / "none.yaml"
    result = CliRunner().invoke(main, ["validate", str(missing), "--json"])
    assert result.exit_code == 2
    (problem,) = json.loads(result.stdout)["problems"]
    assert problem["file"] == str(missing)
    assert "no such file" in problem["message"]


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_options_of_a_node_that_does_not_exist_are_refused_before_compiling(command: str) -> None:
    result = CliRunner().invoke(main, [command, MNIST, "--set", "kubeflow.nodes={qaat: {cpu: 1}}"])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "kubeflow.nodes.qaat: there is no node or step 'qaat'; did you mean 'qat'?" in line
    result = CliRunner().invoke(main, ["validate", MNIST, "--set", "kubeflow.nodes={qat: {cpu: 1}}"])
    assert result.exit_code == 0


def test_plan_lists_nodes_sharing_and_what_would_run(empty_root: str) -> None:
    result = CliRunner().invoke(main, ["plan", MNIST, "--set", empty_root], env={"COLUMNS": None})
    assert result.exit_code == 0
    assert "shared by 2: pruned-int8," in result.output
    assert "32 nodes for 6 candidates: 0 cached, 32 would run, 5 of them train" in result.output


def test_plan_writes_nothing(tmp_path: Path, empty_root: str) -> None:
    assert CliRunner().invoke(main, ["plan", MNIST, "--set", empty_root]).exit_code == 0
    assert list(tmp_path.iterdir()) == []


def test_plan_of_some_candidates(empty_root: str) -> None:
    arguments = ["plan", MNIST, "--json", "--only", "int8", "--set", empty_root]
    nodes = json.loads(CliRunner().invoke(main, arguments).stdout)["nodes"]
    assert not [node["id"] for node in nodes if node["id"].startswith(("prune", "qat", "distill"))]
    assert [node["id"] for node in nodes if node["trains"]] == ["Trainer"]


def test_only_refuses_a_candidate_that_is_not_there() -> None:
    result = CliRunner().invoke(main, ["plan", MNIST, "--only", "in8"])
    assert result.exit_code == 2
    assert "no candidate 'in8'; did you mean 'int8'?" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "measured"),
    [
        ([], []),
        (["--remeasure", "int8"], ["int8"]),
        (["--remeasure", "int8", "--json", "--remeasure", "qat-int8"], ["int8", "qat-int8"]),
        (["--only", "int8", "--only", "dynamic", "--remeasure"], ["int8", "dynamic"]),
        (["--remeasure", "int8", "--remeasure", "--only", "int8"], ["int8"]),
    ],
)
def test_remeasure_names_some_candidates_or_all(
    arguments: list[str], measured: list[str], empty_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[Plan] = []

    def stop(file: Any, plan: Plan, *_: Any) -> session.Stopped:
        plans.append(plan)
        return session.Stopped(3, None, "no further", None)

    monkeypatch.setattr(session, "run", stop)
    assert CliRunner().invoke(main, ["run", MNIST, *arguments, "--set", empty_root]).exit_code == 3
    (plan,) = plans
    assert plan.again == {plan.measurements[name] for name in measured}


@pytest.mark.parametrize("options", [["--remeasure", "in8"], ["--only", "dynamic", "--remeasure", "int8"]])
def test_remeasure_refuses_a_candidate_that_is_not_there(options: list[str], empty_root: str) -> None:
    result = CliRunner().invoke(main, ["run", MNIST, *options, "--set", empty_root])
    assert result.exit_code == 2
    assert f"--remeasure: no candidate {options[-1]!r}" in result.stderr
    assert ("did you mean 'int8'?" in result.stderr) is (options[-1] == "in8")


def test_set_overrides_a_key(empty_root: str) -> None:
    arguments = ["plan", MNIST, "--json", "--set", "candidates.int8.0.convert.quantization=float16"]
    arguments += ["--set", "candidates.int8.0.convert.io=float32", "--set", empty_root]
    nodes = json.loads(CliRunner().invoke(main, arguments).stdout)["nodes"]
    found = [node["id"] for node in nodes if node["candidates"] == ["int8"]]
    assert found == ["convert-float16", "convert-float16-measure", "convert-float16-evaluate"]


@pytest.mark.parametrize("command", ["validate", "plan", "run"])
def test_help_teaches_by_example(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0
    assert f"paredown {command} configs/mnist/pipeline.yaml" in result.output
    assert "Exit codes" in result.output


def test_schema_for_editors_knows_every_step() -> None:
    schema = json.loads(CliRunner().invoke(main, ["schema"]).stdout)
    assert set(schema["$defs"]["Step"]["properties"]) == {
        "distill",
        "prune_channels",
        "prune",
        "cluster",
        "qat",
        "fine_tune",
        "convert",
    }
    assert schema["additionalProperties"] is False


def test_output_without_a_terminal_is_plain(empty_root: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "plan", MNIST, "--set", empty_root],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "\x1b" not in done.stdout
