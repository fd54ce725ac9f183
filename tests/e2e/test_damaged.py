"""Damaged and changed files, and a run that is killed: what is pushed is what was judged, or nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.damage import cut, flip, keep_time
from tests.e2e.project import Project
from tests.e2e.small_table import check_push, make_table_project, sha256, write_data

pytestmark = pytest.mark.e2e

OTHER = ("--set", "select={maximize: accuracy}")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = make_table_project(tmp_path_factory.mktemp("damaged") / "project")
    check_push(project, project.run())
    return project


@pytest.fixture
def project(finished: Project) -> Iterator[Project]:
    with finished.restored():
        yield finished


def would_run(project: Project) -> set[str]:
    nodes = project.paredown("plan", "pipeline.yaml", "--json", *OTHER).json()["nodes"]
    return {node["id"] for node in nodes if not node["cached"]}


@contextmanager
def damaged(path: Path, spoil: Callable[[Path], object]) -> Iterator[None]:
    """A file is damaged until the block ends."""
    before = path.stat()
    whole = path.read_bytes()
    spoil(path)
    try:
        yield
    finally:
        path.write_bytes(whole)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


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


def pass_verdict(path: Path) -> None:
    path.write_text(path.read_text().replace('"blessed": true', '"blessed": false'), encoding="utf-8")


def test_what_is_damaged_is_made_again_from_there_on(project: Project) -> None:
    """Files of a candidate, verdicts, measurements, the baseline, examples, data, and the selected model."""
    nodes = set(project.states())
    judging = {node for node in nodes if node.endswith(("-measure", "-evaluate", "-predict"))}
    (float16,) = {node for node in nodes - judging if "float16" in node}
    (float32,) = {node for node in nodes - judging if "float32" in node}
    (int8,) = {node for node in nodes - judging if "int8" in node}
    of_float16 = {float16, f"{float16}-measure", f"{float16}-evaluate"}
    assert would_run(project) <= {"Selector", "Pusher"}

    model = output(project, float16, "model", "Format-Serving/tflite")
    labels = output(project, float16, "model", "Format-Serving/labels.txt")
    verdict = output(project, f"{int8}-evaluate", "evaluation", "verdict.json")
    measurement = output(project, f"{int8}-measure", "measurement", "measurement.json")
    baseline = output(project, float32, "model", "Format-Serving/tflite")
    examples = output(project, "CsvExampleGen", "examples", "Split-eval/*")
    data = project.root / "data/eval.csv"
    for file, spoil, made_again, kept in (
        (model, lambda path: flip(path, 3), of_float16, {float32, int8, f"{int8}-measure", "Trainer"}),
        (labels, lambda path: flip(path, 3), of_float16, {float32, int8, f"{int8}-measure", "Trainer"}),
        (verdict, pass_verdict, {f"{int8}-evaluate"}, {int8, f"{int8}-measure", *of_float16}),
        (
            measurement,
            lambda path: flip(path, 3),
            {f"{int8}-measure", f"{int8}-evaluate"},
            {int8, *of_float16},
        ),
        (baseline, flip, {float32, *judging}, {"Trainer"}),
        (examples, cut_examples, {"CsvExampleGen", "Trainer", *judging}, set()),
        (data, invert, {"CsvExampleGen", "Trainer", *judging}, set()),
    ):
        with damaged(file, lambda path, spoil=spoil: keep_time(spoil, path)):
            planned = would_run(project)
            assert planned >= {*made_again, "Selector", "Pusher"}, file
            assert not planned & kept, file

    selected = output(project, "Selector", "model", "Format-Serving/tflite")
    for spoil in (Path.unlink, cut, flip):
        with damaged(selected, spoil):
            assert project.would_run() >= {"Selector"}

    for file in (model, measurement, selected):
        flip(file, 3)
    pass_verdict(verdict)
    for folder in project.root.glob("serving/*"):
        (folder / "tflite").unlink()
    planned = project.would_run()
    result = project.run()
    check_push(project, result)
    made = {node for node, state in states(result).items() if state == "ran"}
    assert made == planned == {*of_float16, f"{int8}-measure", f"{int8}-evaluate", "Selector", "Pusher"}


def test_a_killed_run_shows_as_interrupted_and_the_next_one_completes(project: Project) -> None:
    """On new data, so that all is made again. `make soak` has many more kills, at random moments."""

    def listed() -> list[dict[str, Any]]:
        outcome = project.paredown("runs", "--json", "--limit", "0")
        assert outcome.code == 0, outcome.err
        return outcome.json()["runs"]

    def versions() -> dict[str, str]:
        return {path.parent.name: sha256(path) for path in project.root.glob("serving/*/tflite")}

    pushed, before = versions(), len(listed())
    write_data(project.root / "data/train.csv", 400, 3)
    run = project.start("run", "pipeline.yaml", "--json")
    run.wait_for(r"convert-float32 +ran ")  # what the Trainer did is recorded by then
    assert run.kill()
    killed, *others = listed()  # the store opens
    assert len(others) == before
    assert (killed["status"], killed["finished"], killed["exit_code"]) == ("interrupted", None, None)
    assert versions() == pushed

    result = project.run()
    check_push(project, result)
    done = {node for node, entry in killed["nodes"].items() if entry["state"] == "ran"}
    assert {"CsvExampleGen", "Trainer"} <= done and "Pusher" not in done
    assert {states(result)[node] for node in done} == {"cached"}
    newest, *_ = listed()
    assert (newest["status"], newest["pushed"]) == ("pushed", result["pushed"])
    assert Path(newest["pushed"]).name == max(versions(), key=int)
    assert not list(project.root.glob("serving/.*"))
