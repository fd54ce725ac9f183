"""The smallest project: a table of two numbers, and a model that learns which one is larger."""

from __future__ import annotations

import hashlib
import random
import textwrap
from pathlib import Path
from typing import Any

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


def make_table_project(root: Path) -> Project:
    """Writes config, model and data; no run is made."""
    project = empty_project(root)
    (root / "pipeline.yaml").write_text(CONFIG, encoding="utf-8")
    (root / "model.py").write_text(textwrap.dedent(MODEL), encoding="utf-8")
    (root / "data").mkdir()
    write_data(root / "data/train.csv", 400, 1)
    write_data(root / "data/eval.csv", 100, 2)
    return project


def write_data(path: Path, rows: int, seed: int) -> None:
    """A CSV file with two numbers, and which of them is larger."""
    numbers = random.Random(seed)
    lines = ["x,y,kind"]
    for _ in range(rows):
        x, y = numbers.uniform(-1, 1), numbers.uniform(-1, 1)
        lines.append(f"{x:.4f},{y:.4f},{'more' if x > y else 'less'}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def sha256(path: Path) -> str:
    """Of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


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
