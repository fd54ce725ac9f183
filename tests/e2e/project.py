"""A project of its own, on which whole runs are made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.e2e.warm import REPOSITORY, Fork, Outcome, warm

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
  latency: {max: 1000, repetitions: 60, warmup: 5}
  size: {max_ratio: 0.9}
select: {minimize: gzip_size}
push: {directory: serving}
run: {seed: 7, parallel: 2}
"""


@dataclass
class Project:
    """A folder with everything that a run needs, in which files can be edited.

    Attributes:
        root: The folder.
        environment: Environment of the commands.
        is_warm: Whether commands are forks of a process that has the imports; otherwise each is a new process.
        program: Module that a command imports first, or is; `pipeline.cli` if empty.
    """

    root: Path
    environment: dict[str, str]
    is_warm: bool = True
    program: str = ""

    def cold(self) -> Project:
        """The same project, with the program in its own folder, if it has one, started from nothing."""
        return replace(self, is_warm=False)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", self.program or "pipeline.cli", *arguments]

    def paredown(self, *arguments: str, timeout: int = 900) -> Outcome:
        if self.is_warm:
            return self.start(*arguments).outcome(timeout)
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> Fork:
        """Starts a command, warm, without waiting for its end."""
        return warm(self.program).start(arguments, self.root, self.environment)

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
        program = target if (target / "pipeline").is_dir() else REPOSITORY
        return replace(self, root=target, environment={**self.environment, "PYTHONPATH": str(program)})

    @contextmanager
    def restored(self) -> Iterator[Project]:
        """Puts every file back as it was, with its time, when the block ends."""
        kept = Path(tempfile.mkdtemp(prefix="kept-", dir=self.root.parent)) / self.root.name
        shutil.copytree(self.root, kept, symlinks=True)
        try:
            yield self
        finally:
            shutil.rmtree(self.root)
            kept.rename(self.root)
            kept.parent.rmdir()


def empty_project(root: Path, program: bool = False, columns: int | None = None) -> Project:
    """A project without files, in a folder that is made if it is not there.

    Args:
        root: The folder.
        program: Whether the folder gets a copy of the program, for tests that edit it.
        columns: Width of the terminal; None for the width without one.
    """
    root.mkdir(parents=True, exist_ok=True)
    if program:
        for package in ("pipeline", "components"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(REPOSITORY / package, root / package, ignore=ignored)
    environment = {**os.environ, "PYTHONPATH": str(root if program else REPOSITORY), "NO_COLOR": "1"}
    environment.pop("COLUMNS", None)
    if columns is not None:
        environment["COLUMNS"] = str(columns)
    return Project(root, environment)


def make_project(root: Path, train: int, test: int, program: bool = False) -> Project:
    """Writes a project with the first `train` and `test` digits of MNIST; see `empty_project`."""
    import tensorflow as tf

    project = empty_project(root, program)
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
    return project
