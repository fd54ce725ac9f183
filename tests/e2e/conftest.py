"""A project of its own: a copy of the program, a small data set, a config."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

CONFIG = """
name: small
data: {path: data, splits: {train: "train*", eval: "test*"}, label: label}
model:
  module: model
  hparams: {filters: [4, 8], units: 16, learning_rate: 0.003}
  train: {epochs: 3, batch_size: 64}
candidates:
  int8:
    - convert: {quantization: int8, io: int8}
  pruned-qat:
    - prune: {sparsity: 0.5, epochs: 2, batch_size: 64}
    - qat: {batch_size: 64}
    - convert: {quantization: int8, io: int8}
  pcqat:
    - prune: {sparsity: 0.5, epochs: 2, batch_size: 64}
    - cluster: {clusters: 16, batch_size: 64}
    - qat: {batch_size: 64}
    - convert: {quantization: int8, io: int8}
  pruned:
    - prune: {sparsity: 0.5, epochs: 2, batch_size: 64}
    - convert: {quantization: float32}
  student:
    - distill: {epochs: 1, batch_size: 64}
    - convert: {quantization: dynamic}
gate:
  accuracy:
    metric: SparseCategoricalAccuracy
    min: 0.5
    slices: [{by: label, min: 0.1}]
  latency: {max_ratio: 20, repetitions: 60, warmup: 5}
  size: {max_ratio: 0.9}
select: {minimize: gzip_size}
push: {directory: serving}
run: {seed: 7}
"""


@dataclass
class Outcome:
    """What a command gave back."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        return json.loads(self.out)


@dataclass
class Project:
    """A folder with everything that a run needs, in which files can be edited."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "pipeline.cli", *arguments]

    def paredown(self, *arguments: str, timeout: int = 900) -> Outcome:
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def run(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        outcome = self.paredown("run", "pipeline.yaml", "--json", *arguments)
        assert outcome.code == code, outcome.err
        return outcome.json()

    def states(self) -> dict[str, bool]:
        """Node → whether `plan` takes it for cached."""
        outcome = self.paredown("plan", "pipeline.yaml", "--json")
        assert outcome.code == 0, outcome.err
        return {node["id"]: node["cached"] for node in outcome.json()["nodes"]}

    def would_run(self) -> set[str]:
        return {node for node, cached in self.states().items() if not cached}

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.root / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def copy(self, target: Path) -> Project:
        """The project with all its results under another path; its store then names the old paths."""
        shutil.copytree(self.root, target)
        return Project(target, {**self.environment, "PYTHONPATH": str(target)})


def make_project(root: Path, train: int, test: int) -> Project:
    """Writes a project with the first `train` and `test` digits of MNIST."""
    import tensorflow as tf

    for package in ("pipeline", "components"):
        shutil.copytree(REPOSITORY / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "configs/mnist/model.py", root / "model.py")
    (root / "pipeline.yaml").write_text(textwrap.dedent(CONFIG), encoding="utf-8")
    (root / "data").mkdir()
    for split, count in (("train", train), ("test", test)):
        source = str(REPOSITORY / f"data/mnist/{split}.tfrecord.gz")
        records = tf.data.TFRecordDataset(source, compression_type="GZIP").take(count)
        options = tf.io.TFRecordOptions(compression_type="GZIP")
        with tf.io.TFRecordWriter(str(root / f"data/{split}.tfrecord.gz"), options) as writer:
            for record in records.as_numpy_iterator():
                writer.write(record)
    environment = {**os.environ, "PYTHONPATH": str(root), "NO_COLOR": "1"}
    environment.pop("COLUMNS", None)
    return Project(root, environment)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, Any]]:
    """A project after its first run, and what that run printed."""
    root = tmp_path_factory.mktemp("e2e") / "project"
    root.mkdir()
    project = make_project(root, train=3000, test=600)
    return project, project.run()


@pytest.fixture
def untouched(finished: tuple[Project, dict[str, Any]]) -> Any:
    """The finished project, whose source files are put back after the test."""
    project, _ = finished
    files = [*project.root.glob("*.py"), *project.root.glob("*.yaml"), *project.root.glob("data/*")]
    files += [*project.root.glob("components/**/*.py")]
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
    yield project
    for path, (content, time) in before.items():
        if not path.exists() or path.read_bytes() != content or path.stat().st_mtime_ns != time:
            path.write_bytes(content)
            os.utime(path, ns=(time, time))
