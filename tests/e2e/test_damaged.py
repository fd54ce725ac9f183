"""Damaged and changed files: what is pushed is what was judged, or nothing."""

from __future__ import annotations

import hashlib
import json
import os
import random
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.damage import cut, damage, flip, keep_time
from tests.e2e.project import Project, empty_project

CONFIG = """
name: damaged
data: {format: csv, path: data, splits: {train: "train*", eval: "eval*"}, label: kind}
model: {module: model, train: {epochs: 6, batch_size: 16, learning_rate: 0.02}}
candidates:
  float16: [{convert: {quantization: float16}}]
  int8: [{convert: {quantization: int8, calibration_examples: 50}}]
gate:
  accuracy: {metric: SparseCategoricalAccuracy, max_drop: 0.2, min: 0.6}
  latency: {repetitions: 20, warmup: 2}
select: {minimize: size}
push: {directory: serving}
run: {seed: 7}
"""

MODEL = """
import tf_keras

L = tf_keras.layers


def build_model(hparams):
    inputs = [L.Input((1,), name=name) for name in ("x", "y")]
    hidden = L.Dense(64, activation="relu")(L.Concatenate()(inputs))
    hidden = L.Dense(64, activation="relu")(hidden)
    model = tf_keras.Model(inputs, L.Dense(2, activation="softmax", name="kind")(hidden))
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
"""


def write_data(path: Path, rows: int, seed: int) -> None:
    numbers = random.Random(seed)
    lines = ["x,y,kind"]
    for _ in range(rows):
        x, y = numbers.uniform(-1, 1), numbers.uniform(-1, 1)
        lines.append(f"{x:.4f},{y:.4f},{'more' if x > y else 'less'}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = empty_project(tmp_path_factory.mktemp("damaged") / "project")
    (project.root / "pipeline.yaml").write_text(CONFIG, encoding="utf-8")
    (project.root / "model.py").write_text(textwrap.dedent(MODEL), encoding="utf-8")
    (project.root / "data").mkdir()
    write_data(project.root / "data/train.csv", 400, 1)
    write_data(project.root / "data/eval.csv", 100, 2)
    check_push(project, project.run())
    return project


@pytest.fixture
def project(finished: Project) -> Iterator[Project]:
    with finished.restored():
        yield finished


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def states(result: dict[str, Any]) -> dict[str, str]:
    return {node: done["state"] for node, done in result["nodes"].items()}


def check_push(project: Project, result: dict[str, Any]) -> None:
    """What is pushed is, file by file, what the verdict on the winner is on; lineage says so, too."""
    pushed = Path(result["pushed"])
    judged = result["candidates"][result["winner"]]["judged"]
    serving = "Format-Serving/"
    assert {f"{serving}{path.name}": sha256(path) for path in pushed.iterdir()} == {
        name: value for name, value in judged.items() if name.startswith(serving)
    }
    assert {path.name for path in pushed.iterdir()} == {"tflite", "labels.txt"}
    lineage = project.paredown("lineage", str(pushed), "--format", "json")
    assert lineage.code == 0, lineage.err
    count = len(list(pushed.iterdir()))
    assert lineage.json()["notes"] == [
        {"kind": "ok", "text": f"{count} files of {pushed} as judged (SHA-256)"}
    ]


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


@pytest.mark.soak
@pytest.mark.e2e
def test_any_damage_ends_in_what_was_judged_or_in_nothing(finished: Project) -> None:
    """PAREDOWN_DAMAGES (500) damages, each of a random file of any artifact, or of what was pushed."""
    numbers = random.Random(20261130)
    ended: dict[int, int] = {}
    for number in range(int(os.environ.get("PAREDOWN_DAMAGES", "500"))):
        stores = {path.parent for path in finished.root.glob("**/metadata.sqlite")}
        files = [
            path
            for store in stores
            for path in sorted(store.glob("*/*/*/**/*"))
            if path.is_file() and "logs" not in path.parts and ".system" not in path.parts
        ]
        damage(numbers.choice(files), numbers)
        if number % 2:
            for path in finished.root.glob("serving/*/tflite"):
                damage(path, numbers)
        select = numbers.choice(["minimize: size", "maximize: accuracy"])
        outcome = finished.paredown("run", "pipeline.yaml", "--json", "--set", f"select={{{select}}}")
        ended[outcome.code] = ended.get(outcome.code, 0) + 1
        assert outcome.code in (0, 3, 4), outcome.err
        assert "Traceback (most recent" not in outcome.err
        if outcome.code == 0:
            check_push(finished, outcome.json())
    print(json.dumps(ended))
