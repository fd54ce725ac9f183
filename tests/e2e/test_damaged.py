"""Damaged and changed files: what is pushed is what was judged, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.damage import cut, flip, keep_time
from tests.e2e.project import Project
from tests.e2e.small_table import check_push, make_table_project


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = make_table_project(tmp_path_factory.mktemp("damaged") / "project")
    check_push(project, project.run())
    return project


@pytest.fixture
def project(finished: Project) -> Iterator[Project]:
    with finished.restored():
        yield finished


def states(result: dict[str, Any]) -> dict[str, str]:
    return {node: done["state"] for node, done in result["nodes"].items()}


def output(project: Project, node: str, key: str, file: str) -> Path:
    """The newest file of a node's output."""
    (root,) = project.root.glob(f"**/{node}/{key}")
    newest = max(
        (path for path in root.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name)
    )
    (found,) = newest.glob(file)
    return found


def invert(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("more", "LESS").replace("less", "more").replace("LESS", "less"), encoding="utf-8"
    )


def cut_examples(path: Path) -> None:
    import tensorflow as tf

    records = list(tf.data.TFRecordDataset(str(path), "GZIP").take(20).as_numpy_iterator())
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions("GZIP")) as writer:
        for record in records:
            writer.write(record)


def ran(project: Project, *arguments: str) -> set[str]:
    """The nodes that a run did not find cached; what it pushed is what was judged."""
    result = project.run(*arguments)
    check_push(project, result)
    return {node for node, state in states(result).items() if state == "ran"}


@pytest.mark.e2e
def test_a_damaged_selected_model_is_selected_again(project: Project) -> None:
    file = output(project, "Selector", "model", "Format-Serving/tflite")
    whole = file.read_bytes()
    for spoil in (Path.unlink, cut, flip):
        file.write_bytes(whole)
        spoil(file)
        assert project.would_run() >= {"Selector"}
    for folder in project.root.glob("serving/*"):
        (folder / "tflite").unlink()
    assert project.would_run() == {"Selector", "Pusher"}
    assert ran(project) == {"Selector", "Pusher"}


@pytest.mark.e2e
def test_what_is_damaged_is_made_again_from_there_on(project: Project) -> None:
    """A candidate under another `select`, its labels, the baseline, a verdict, a measurement, the examples and data."""
    other = ("--set", "select={maximize: accuracy}")
    nodes = set(project.states())
    judging = {node for node in nodes if node.endswith(("-measure", "-evaluate", "-predict"))}
    (float16,) = {node for node in nodes - judging if "float16" in node}
    (float32,) = {node for node in nodes - judging if "float32" in node}
    (int8,) = {node for node in nodes - judging if "int8" in node}
    of_float16 = {float16, f"{float16}-measure", f"{float16}-evaluate"}

    flip(output(project, float16, "model", "Format-Serving/tflite"), 3)
    verdict = output(project, f"{int8}-evaluate", "evaluation", "verdict.json")
    verdict.write_text(verdict.read_text().replace('"blessed": true', '"blessed": false'), encoding="utf-8")
    made = ran(project, *other)
    assert made >= {*of_float16, f"{int8}-evaluate", "Selector"}
    assert not made & {float32, int8, f"{int8}-measure", "Trainer"}
    assert ran(project, *other) == set()

    flip(output(project, float16, "model", "Format-Serving/labels.txt"), 3)
    flip(output(project, f"{int8}-measure", "measurement", "measurement.json"), 3)
    made = ran(project, *other)
    assert made >= {*of_float16, f"{int8}-measure", f"{int8}-evaluate"}
    assert not made & {float32, int8, "Trainer"}

    flip(output(project, float32, "model", "Format-Serving/tflite"))
    assert ran(project, *other) >= {float32, *judging, "Selector"}
    keep_time(cut_examples, output(project, "CsvExampleGen", "examples", "Split-eval/*"))
    assert ran(project, *other) >= {"CsvExampleGen", "Trainer", *judging}
    keep_time(invert, project.root / "data/eval.csv")
    outcome = project.paredown("run", "pipeline.yaml", "--json", *other)
    assert outcome.code == 4, outcome.err  # no candidate is right about labels that are all wrong
    assert states(outcome.json())["CsvExampleGen"] == "ran"
