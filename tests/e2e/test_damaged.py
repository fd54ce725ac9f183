"""Damaged and changed files: what is pushed is what was judged, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


@pytest.mark.e2e
@pytest.mark.parametrize("damage", [flip, cut, Path.unlink])
def test_a_damaged_selected_model_is_selected_again(
    project: Project, damage: Callable[[Path], None]
) -> None:
    file = output(project, "Selector", "model", "Format-Serving/tflite")
    damage(file)
    for folder in project.root.glob("serving/*"):
        (folder / "tflite").unlink()
    assert project.would_run() == {"Selector", "Pusher"}
    result = project.run()
    ran = {node for node, state in states(result).items() if state == "ran"}
    assert ran == {"Selector", "Pusher"}
    check_push(project, result)


@pytest.mark.e2e
def test_what_is_damaged_is_made_again_from_there_on(project: Project) -> None:
    """A candidate under another `select`, its labels, the baseline, a verdict, a measurement, the examples and data."""
    other = ("--set", "select={maximize: accuracy}")

    def nodes_that_run(*arguments: str) -> set[str]:
        result = project.run(*arguments)
        check_push(project, result)
        return {node for node, state in states(result).items() if state == "ran"}

    assert nodes_that_run() == set()
    (float16,) = {node for node in project.states() if "float16" in node and node.endswith("-measure")}
    float16 = float16.removesuffix("-measure")
    (float32,) = {node for node in project.states() if node.startswith("convert-float32")}
    judging = {node for node in project.states() if node.endswith(("-measure", "-evaluate"))}

    for file in ("tflite", "labels.txt"):
        flip(output(project, float16, "model", f"Format-Serving/{file}"), 3)
        assert nodes_that_run(*other) >= {float16, f"{float16}-measure", f"{float16}-evaluate", "Selector"}
        assert nodes_that_run(*other) == set()
    flip(output(project, float32, "model", "Format-Serving/tflite"))
    assert nodes_that_run(*other) >= {float32, *judging, "Selector"}
    verdict = output(project, f"{float16}-evaluate", "evaluation", "verdict.json")
    verdict.write_text(verdict.read_text().replace('"blessed": true', '"blessed": false'), encoding="utf-8")
    ran = nodes_that_run(*other)
    assert ran >= {f"{float16}-evaluate", "Selector"} and f"{float16}-measure" not in ran
    flip(output(project, f"{float16}-measure", "measurement", "measurement.json"), 3)
    assert nodes_that_run(*other) >= {f"{float16}-measure", f"{float16}-evaluate"}
    keep_time(cut_examples, output(project, "CsvExampleGen", "examples", "Split-eval/*"))
    assert nodes_that_run(*other) >= {"CsvExampleGen", "Trainer", *judging}
    keep_time(invert, project.root / "data/eval.csv")
    outcome = project.paredown("run", "pipeline.yaml", "--json", *other)
    assert outcome.code == 4, outcome.err  # no candidate is right about labels that are all wrong
    assert states(outcome.json())["CsvExampleGen"] == "ran"
