"""What a finished project makes again: nothing, or what an edit, a failure or an interruption calls for."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.project import Project

pytestmark = pytest.mark.e2e

DATA = {"ImportExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "AnomalyGate"}
END = {"Selector", "Pusher"}


def test_what_is_done_is_not_done_again(
    finished: tuple[Project, dict[str, Any]], untouched: Project, tmp_path: Path
) -> None:
    """A rerun, one after the pushed version was emptied, another winner, back to the first with a measurement again."""
    project, first = untouched, finished[1]
    assert project.would_run() == set()
    again = without_tensorflow(project, tmp_path).run()
    assert {entry["state"] for entry in again["nodes"].values()} == {"cached"}
    assert (again["pushed"], again["pushed_now"]) == (first["pushed"], False)
    assert again["winner"] == first["winner"]
    assert len(list((project.root / "serving").iterdir())) == 1
    compared = project.paredown("diff", first["run"], again["run"], "--json").json()["sections"]
    for name in ("config", "environment", "data", "seeds", "nodes", "metrics"):
        assert compared[name]["state"] == "equal", compared

    (Path(first["pushed"]) / "tflite").unlink()
    assert project.would_run() == {"Pusher"}
    refilled = project.run()
    assert refilled["pushed_now"] and ran(refilled) == {"Pusher"}
    assert (Path(refilled["pushed"]) / "tflite").stat().st_size > 1000
    Path(first["pushed"]).rmdir()
    assert project.would_run() == set()

    other = project.run("--only", "int8", "--set", "select={maximize: accuracy}")
    assert other["winner"] == "int8" and (other["pushed_now"] or first["winner"] == "int8")
    back = project.run("--remeasure", "int8")
    assert back["winner"] == first["winner"]
    newest = max(int(path.name) for path in (project.root / "serving").iterdir())
    assert Path(back["pushed"]).name == str(newest)
    (measured,) = [node for node in back["nodes"] if re.fullmatch(r"convert-int8-\w+-measure", node)]
    judged = measured.replace("-measure", "-evaluate")
    assert {measured, judged, "Selector"} <= ran(back) <= {measured, judged, *END}
    before, after = (found["candidates"]["int8"]["measured"] for found in (first, back))
    assert before["accuracy"] == after["accuracy"] and before["latency"] != after["latency"]
    assert project.would_run() == set()


def without_tensorflow(project: Project, folder: Path) -> Project:
    """The same project; its commands are new processes in which importing TensorFlow or TFX is an error."""
    for package in ("tensorflow", "tfx", "tf_keras"):
        (folder / package).mkdir()
        (folder / package / "__init__.py").write_text(f"raise ImportError({package!r})\n", encoding="utf-8")
    path = os.pathsep.join((str(folder), project.environment["PYTHONPATH"]))
    return replace(project.cold(), environment={**project.environment, "PYTHONPATH": path})


def ran(result: dict[str, Any]) -> set[str]:
    return {node for node, entry in result["nodes"].items() if entry["state"] == "ran"}


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        pytest.param(
            ("components/distiller/executor.py", "import tf_keras\n", "import tf_keras\n\nEDITED = True\n"),
            {"distill"},
            id="a component's code",
        ),
        pytest.param(
            ("components/selector/executor.py", "import json\n", "import json\n\nEDITED = True\n"),
            set(),
            id="the selector's code",
        ),
        pytest.param(
            ("pipeline.yaml", "quantization: dynamic", "quantization: float16"),
            {"convert-float16"},
            id="a parameter of one candidate",
        ),
        pytest.param(
            ("model.py", "import tf_keras\n", "import tf_keras\n\nEDITED = True\n"),
            {"Trainer", "convert", "prune", "qat", "distill"},
            id="the model module",
        ),
    ],
)
def test_plan_names_what_an_edit_reruns(
    untouched: Project, edit: tuple[str, str, str], expected: set[str]
) -> None:
    untouched.edit(*edit)
    would_run = untouched.cold().would_run()
    assert not would_run & DATA
    assert would_run >= END
    for node in would_run - END:
        assert any(part in node for part in expected), node
    for part in expected:
        assert any(part in node for node in would_run), part


def test_comments_docstrings_and_layout_rerun_nothing(untouched: Project) -> None:
    untouched.edit("components/distiller/executor.py", '"""Knowledge distillation."""', '"""Distills."""')
    untouched.edit("components/common/training/fitting.py", "import math\n", "import math  # edited\n")
    untouched.edit("model.py", "layers.Dense(10,", "layers.Dense(10, ")
    assert untouched.cold().would_run() == set()  # by the edited copy of the program


def test_plan_names_what_changed_data_rerun(untouched: Project) -> None:
    path = untouched.root / "data/train.tfrecord.gz"
    os.utime(path, (time.time() + 60, time.time() + 60))
    assert untouched.would_run() == set(untouched.states())


def test_a_node_that_fails_fails_its_candidates_and_the_rest_is_what_plan_said(untouched: Project) -> None:
    """Edits of options and of code, one of which fails: real runs in new processes."""
    project, only = untouched.cold(), ("--only", "pruned-qat", "--only", "student")
    project.edit("pipeline.yaml", "sparsity: 0.5, epochs: 2", "sparsity: 0.6, epochs: 1")
    project.edit(
        "components/distiller/executor.py",
        "    options = job.options\n",
        '    options = job.options\n    raise RuntimeError("the student is ill")\n',
    )
    expected = would_run(project, *only)
    assert not expected & {*DATA, "Trainer"}
    assert not any(node.startswith("convert") for node in expected)
    result = project.run(*only, code=6)
    states = {node: entry["state"] for node, entry in result["nodes"].items()}
    (distilled,) = [node for node, state in states.items() if state == "failed"]
    skipped = {node for node, state in states.items() if state == "skipped"}
    assert skipped and all(node.startswith(distilled) for node in skipped)
    assert {distilled} | skipped | ran(result) == expected
    assert any(node.startswith("prune") for node in ran(result))
    for layer in result["candidates"]["pruned-qat"]["measured"]["file"]["layers"].values():
        assert layer["sparsity"] == pytest.approx(0.6, abs=0.03)
    assert states["Selector"] == states["Pusher"] == "ran"
    assert result["winner"] == "pruned-qat" and Path(result["pushed"], "tflite").is_file()
    reason = f"node {distilled} failed: RuntimeError: the student is ill"
    (failure,) = result["candidates"]["student"]["failures"]
    assert (failure["kind"], failure["node"], failure["reason"]) == ("node_failed", distilled, reason)
    assert "the student is ill" in Path(failure["traceback"]).read_text(encoding="utf-8")
    page = Path(result["report"]).read_text(encoding="utf-8")
    assert reason in page and f"End of the traceback of {distilled}" in page
    newest = project.paredown("runs", "--json", "--limit", "1").json()["runs"][0]
    assert (newest["status"], newest["exit_code"], newest["failed"]) == ("pushed", 6, 1)
    assert [(one["node"], one["candidates"]) for one in newest["failures"]] == [(distilled, ["student"])]

    # After the fix, only what failed and what follows from it is left.
    project.edit(
        "components/distiller/executor.py",
        '    raise RuntimeError("the student is ill")\n',
        "    assert options.temperature > 0\n",
    )
    assert would_run(project, *only) - {"Selector", "Pusher"} == {distilled, *skipped}


def would_run(project: Project, *only: str) -> set[str]:
    nodes = project.paredown("plan", "pipeline.yaml", "--json", *only).json()["nodes"]
    return {node["id"] for node in nodes if not node["cached"]}


def test_what_was_made_while_the_model_was_edited_is_not_cached(untouched: Project) -> None:
    project = untouched
    project.edit("pipeline.yaml", "distill: {epochs: 1,", "distill: {epochs: 60,")
    run = project.start("run", "pipeline.yaml", "--only", "student")
    run.wait_for("/60, ")
    model = project.root / "model.py"
    as_planned = model.read_text(encoding="utf-8")
    model.write_text(as_planned + "EDITED = True\n", encoding="utf-8")

    outcome = run.outcome()

    assert outcome.code == 3
    assert "the model module, changed during the run" in outcome.err
    model.write_text(as_planned, encoding="utf-8")
    states = project.states()
    assert states["Trainer"]
    assert not any(cached for node, cached in states.items() if node.startswith("distill"))


def test_interrupted_run_ends_cleanly_and_is_resumed(untouched: Project) -> None:
    project = untouched
    project.edit("pipeline.yaml", "distill: {epochs: 1,", "distill: {epochs: 4000,")
    before = sorted(path.name for path in (project.root / "serving").iterdir())
    run = project.start("run", "pipeline.yaml", "--only", "student")
    run.wait_for("/4000, ")
    somebody_elses = project.root / "serving/9999999999/tflite"
    somebody_elses.parent.mkdir()
    somebody_elses.write_bytes(b"not this run's")
    second = project.paredown("run", "pipeline.yaml", "--only", "student")
    assert second.code == 2
    assert "Another run is using" in second.err
    assert project.paredown("runs", "--json", "--limit", "1").json()["runs"][0]["status"] == "running"
    os.kill(run.pid, signal.SIGINT)
    outcome = run.outcome()
    assert outcome.code == 130, outcome.err
    assert "Interrupted. Nothing was pushed" in outcome.err
    assert somebody_elses.read_bytes() == b"not this run's"
    shutil.rmtree(somebody_elses.parent)
    assert sorted(path.name for path in (project.root / "serving").iterdir()) == before
    leftovers = [
        path
        for path in project.root.glob(".paredown/small/distill*/model/*")
        if not (path / "optimization.json").exists()
    ]
    assert leftovers == []
    newest = project.paredown("runs", "--json", "--limit", "1").json()["runs"][0]
    assert (newest["status"], newest["exit_code"]) == ("interrupted", 130)
    states = project.states()
    assert states["Trainer"]
    assert not any(cached for node, cached in states.items() if node.startswith("distill"))
