"""What can be asked of a finished run: runs, lineage, diff, report, gc."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.project import Outcome, Project
from tests.e2e.warm import REPOSITORY, warm
from tests.pipeline.lineage.test_open_lineage import validate
from tests.pipeline.report.browser import browser

pytestmark = pytest.mark.e2e

Finished = tuple[Project, dict[str, Any]]


def ask(project: Project, *arguments: str, code: int = 0) -> Outcome:
    outcome = project.paredown(*arguments)
    assert outcome.code == code, outcome.out + outcome.err
    assert "Traceback" not in outcome.err
    return outcome


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def first_run(finished: Finished) -> dict[str, Any]:
    project, result = finished
    listed = ask(project, "runs", "--json", "--limit", "0").json()["runs"]
    return next(run for run in listed if run["id"] == result["run"])


def test_runs_shows_what_the_run_recorded(finished: Finished) -> None:
    _, result = finished
    run = first_run(finished)
    assert (run["pipeline"], run["status"], run["exit_code"]) == ("small", "pushed", 0)
    assert (run["winner"], run["pushed"], run["pushed_now"]) == (result["winner"], result["pushed"], True)
    assert (run["ran"], run["cached"], run["failed"]) == (len(result["nodes"]), 0, 0)
    assert {node: entry["state"] for node, entry in run["nodes"].items()} == {
        node: entry["state"] for node, entry in result["nodes"].items()
    }
    assert run["version"] == metadata.version("paredown") and run["seed"] == 7


def test_the_record_has_config_environment_and_data(finished: Finished) -> None:
    project, result = finished
    documents = json.loads(ask(project, "lineage", result["run"], "--format", "json").out)["documents"]
    run = first_run(finished)
    config = documents[run["config_hash"]]
    assert config["candidates"]["pcqat"][1]["cluster"]["clusters"] == 16
    assert config["model"]["hparams"] == {"filters": [4, 8], "units": 16, "learning_rate": 0.003}
    packages = documents[run["environment_hash"]]["packages"]
    for package in ("tfx", "tensorflow", "ml-metadata", "apache-beam", "tensorflow-model-optimization"):
        assert packages[package] == metadata.version(package)
    assert documents[run["data_hash"]]["train"][0]["sha256"] == sha256(
        project.root / "data" / "train.tfrecord.gz"
    )


def test_lineage_of_the_pushed_folder_reaches_the_data_and_names_every_step(finished: Finished) -> None:
    project, result = finished
    shown = ask(project, "lineage", result["pushed"]).out
    assert sha256(project.root / "data" / "train.tfrecord.gz") in shown
    assert sha256(project.root / "data" / "test.tfrecord.gz") in shown
    assert sha256(Path(result["pushed"]) / "tflite") in shown
    assert f"selected {result['winner']} " in shown
    steps = result["candidates"][result["winner"]]["measured"]["steps"]
    for number, step in enumerate(steps, 1):
        assert re.search(rf"step {number} {step['technique']}\b", shown), step
    for judgement in result["candidates"][result["winner"]]["judgements"]:
        assert judgement["figure"] in shown
    for reported in ("baseline", "schema", "statistics", "3,000 train, 600 eval", "seed 7", "as judged"):
        assert reported in shown


def test_lineage_as_json_leads_from_the_push_to_the_examples(finished: Finished) -> None:
    project, result = finished
    graph = json.loads(ask(project, "lineage", result["pushed"], "--format", "json").out)
    nodes = {execution["id"]: execution["node"] for execution in graph["executions"]}
    made = {edge["artifact"]: edge["execution"] for edge in graph["edges"] if edge["output"]}
    read: dict[int, list[int]] = {}
    for edge in graph["edges"]:
        if not edge["output"]:
            read.setdefault(edge["execution"], []).append(edge["artifact"])
    (root,) = graph["roots"]
    waiting, reached = [root], set()
    while waiting:
        execution = made[waiting.pop()]
        if nodes[execution] not in reached:
            reached.add(nodes[execution])
            waiting += read.get(execution, [])
    assert reached == set(result["nodes"])
    assert graph["notes"] == [{"kind": "ok", "text": f"1 file of {result['pushed']} as judged (SHA-256)"}]


def test_tampering_with_the_pushed_file_is_noticed(finished: Finished, untouched: Project) -> None:
    project, result = untouched, finished[1]
    file = Path(result["pushed"]) / "tflite"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    for target in (result["pushed"], str(file), result["run"]):
        shown = ask(project, "lineage", target, code=1)
        assert f"TAMPERED: {file} was changed" in shown.out
    assert "Pusher" in project.would_run()
    file.write_bytes(content)
    ask(project, "lineage", result["pushed"])


def test_a_copy_of_the_pushed_file_is_found_by_its_content(finished: Finished, tmp_path: Path) -> None:
    project, result = finished
    copy = shutil.copy(Path(result["pushed"]) / "tflite", tmp_path / "unnamed.bin")
    shown = ask(project, "lineage", str(copy)).out
    assert f"{copy} has the content of artifact" in shown
    assert sha256(project.root / "data" / "train.tfrecord.gz") in shown


def test_a_trained_model_has_hashes_too(finished: Finished, tmp_path: Path) -> None:
    project, _ = finished
    keras = max((project.root / ".paredown/small/Trainer/model").glob("*/Format-Keras/model.h5"))
    copy = shutil.copy(keras, tmp_path / "model.h5")
    assert "has the content of artifact" in ask(project, "lineage", str(copy)).out


def test_downstream_of_the_examples_is_what_was_pushed(finished: Finished) -> None:
    project, result = finished
    graph = json.loads(ask(project, "lineage", result["run"], "--format", "json").out)
    (examples,) = (a["id"] for a in graph["artifacts"] if a["type"] == "Examples")
    down = json.loads(ask(project, "lineage", str(examples), "--down", "--format", "json").out)
    destinations = {a["properties"].get("pushed_destination") for a in down["artifacts"]}
    assert result["pushed"] in destinations


def test_open_lineage_events_are_valid(finished: Finished) -> None:
    project, result = finished
    lines = ask(project, "lineage", result["run"], "--format", "openlineage").out.splitlines()
    events = [json.loads(line) for line in lines]
    assert sum(validate(event) for event in events) > 5 * len(events)  # facets, each by its own schema
    jobs = {event["job"]["name"] for event in events if event["eventType"] == "COMPLETE"}
    assert jobs == {"small", *(f"small.{node}" for node in result["nodes"])}


@pytest.fixture(scope="module")
def refused(finished: Finished) -> Iterator[dict[str, Any]]:
    """A run whose only candidate is too large, after one that said so to a person."""
    with finished[0].restored() as project:
        before = sorted(path.name for path in (project.root / "serving").iterdir())
        arguments = ("--set", "gate.size.max_ratio=0.0001", "--only", "int8")
        outcome = ask(project, "run", "pipeline.yaml", *arguments, code=4)
        assert "No candidate passed the gate; nothing was pushed." in outcome.out
        assert "× the baseline's, 0.0001 × allowed" in " ".join(outcome.out.split())
        yield project.run(*arguments, code=4)
        # It was another limit alone, so that nothing was measured for it.
        assert len(list(project.root.glob(".paredown/small/*-measure/measurement/*"))) == 5
        assert sorted(path.name for path in (project.root / "serving").iterdir()) == before


def test_nothing_to_push_is_a_result_and_cached(refused: dict[str, Any]) -> None:
    assert {entry["state"] for entry in refused["nodes"].values()} == {"cached"}
    assert not refused["pushed"]


def test_diff_names_the_key_that_was_changed(finished: Finished, refused: dict[str, Any]) -> None:
    project, result = finished
    changed = ask(project, "diff", result["run"], refused["run"], "--exit-code", code=1).out
    assert "gate.size.max_ratio" in changed
    compared = ask(project, "diff", result["run"], refused["run"], "--json").json()
    changes = compared["sections"]["config"]["changes"]
    keys = {change["key"]: (change["before"], change["after"]) for change in changes}
    assert keys["gate.size.max_ratio"] == (0.9, 0.0001)
    assert compared["sections"]["data"]["state"] == "equal"


def test_a_notebook_goes_from_the_config_to_the_verdict(finished: Finished, untouched: Project) -> None:
    _, result = finished
    script = str(REPOSITORY / "docs/notebook.py")
    started = warm(untouched.program).start(
        ("pipeline.yaml",), untouched.root, untouched.environment, script
    )
    outcome = started.outcome()
    assert outcome.code == 0, outcome.out + outcome.err
    nodes = len(result["nodes"])
    assert f"{nodes} nodes for 5 candidates: {nodes} cached, 0 would run" in outcome.out
    for name, verdict in result["candidates"].items():
        met, limits = sum(one["met"] for one in verdict["judgements"]), len(verdict["judgements"])
        assert (
            f"{name}: {'passed' if verdict['blessed'] else 'failed'}, {met} of {limits} limits met"
            in outcome.out
        )
        sizes, accuracy = verdict["measured"]["size"]["candidate"], verdict["measured"]["accuracy"]
        assert (
            f"{name}: {sizes['file']} bytes, {accuracy['metric']} {accuracy['candidate']}\n" in outcome.out
        )
    assert f"{result['winner']}: " in outcome.out.rpartition("bytes, ")[2]
    assert re.search(r"^  \S+: \w+, \d+ parameters, 0\.\d+ zeros$", outcome.out, re.MULTILINE)


def test_the_report_of_a_run_has_the_verdicts_numbers(finished: Finished) -> None:
    project, result = finished
    page = Path(result["report"])
    assert page.parent == project.root / ".paredown/small/reports"
    with browser() as chromium:
        for theme, width in (("light", 1280), ("dark", 390)):
            loaded = chromium.open(page, width=width, theme=theme)
            assert loaded.errors == []
            assert {address.partition(":")[0] for address in loaded.requests} <= {"file", "data", "blob"}
            text = chromium.evaluate("document.body.innerText")
            assert f"{result['winner']}" in text
            for name, verdict in result["candidates"].items():
                assert name in text
                accuracy = verdict["measured"]["accuracy"]["candidate"]
                assert f"{accuracy:.4f}" in text, name
            assert chromium.evaluate("document.documentElement.scrollWidth") <= width
        pushed = json.dumps(result["pushed"])[1:-1]
        assert pushed in loaded.dom


def test_a_refused_run_has_a_report_that_says_what_to_try(refused: dict[str, Any]) -> None:
    text = Path(refused["report"]).read_text(encoding="utf-8")
    assert "No candidate passed" in text
    assert "int8 missed size.max_ratio 0.0001 by" in text


def test_report_compares_two_runs(finished: Finished, refused: dict[str, Any], tmp_path: Path) -> None:
    project, result = finished
    page = tmp_path / "difference.html"
    ask(project, "report", refused["run"], "--compare", result["run"], "-o", str(page))
    with browser() as chromium:
        loaded = chromium.open(page)
        assert loaded.errors == []
        text = chromium.evaluate("document.body.innerText")
    assert result["run"] in text and refused["run"] in text and "gate.size.max_ratio" in text


def test_after_gc_the_push_still_has_its_lineage_and_a_run_makes_the_rest_again(untouched: Project) -> None:
    project = untouched
    # Too large, so that it is not pushed.
    other = ("--only", "int8", "--set", "gate.size.max_ratio=0.0001")
    other += ("--set", "candidates.int8.0.convert={quantization: dynamic}")
    project.run(*other, code=4)
    kept = project.run("--only", "int8")
    dry = ask(project, "gc", "--keep-runs", "1", "--json").json()["stores"][0]
    assert dry["removed"], dry
    models = set((project.root / ".paredown/small").glob("*/model/*"))
    ask(project, "gc", "--keep-runs", "1", "--delete")
    left = set((project.root / ".paredown/small").glob("*/model/*"))
    assert left < models
    for run in ask(project, "runs", "--json", "--limit", "0").json()["runs"]:
        assert run["status"] in ("pushed", "no candidate passed", "failed", "interrupted")
    shown = ask(project, "lineage", kept["pushed"]).out
    assert sha256(project.root / "data" / "train.tfrecord.gz") in shown
    # Nothing more is to be removed, what was kept is cached, and the rest is made again.
    assert ask(project, "gc", "--keep-runs", "1", "--json").json()["stores"][0]["removed"] == []
    again = project.run("--only", "int8")
    assert {entry["state"] for entry in again["nodes"].values()} == {"cached"}
    made = project.run(*other, code=4)
    states = {node: entry["state"] for node, entry in made["nodes"].items()}
    assert {states[node] for node in states if "dynamic" in node} == {"ran"} and states[
        "Trainer"
    ] == "cached"
