"""Projects of one small model each, explained in this process."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pytest
import tensorflow as tf

from pipeline.checks import preflight
from pipeline.config.config_file import load
from pipeline.config.problem import Problem
from pipeline.explain.explanation import Candidate
from pipeline.plan.planner import make_plan

IMAGE, SERIES, ROW = (8, 8, 4), (6, 4), (6,)

HEAD = """\
import tensorflow as tf
import tf_keras
from tf_keras import layers
"""
# Between the input `x` and the model, `y` is what a case computes.
BODY = """

def build_model(hparams):
    x = layers.Input({shape}, name="x", dtype="{dtype}")
    {lines}
    y = layers.Dense(3, activation="softmax", name="last")(layers.Flatten(name="flat")(y))
    model = tf_keras.Model(x, y, name="net")
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model
"""
CONV = 'y = layers.Conv2D(4, 3, padding="same", name="conv")(x)\n'
INT8 = "{convert: {quantization: int8}}"
QAT = f"[{{qat: {{}}}}, {INT8}]"
PRUNE = f"[{{prune: {{sparsity: 0.5}}}}, {INT8}]"
CLUSTER = f"[{{cluster: {{clusters: 8}}}}, {INT8}]"
WITHOUT = "leave `qat` out: post-training int8 needs no such support"
SUBCLASSED = 'y = Net(name="inner")(x)'
NESTED = 'y = tf_keras.Sequential([layers.Conv2D(4, 3), layers.ReLU()], name="inner")(x)'

CONFIG = """\
name: explained
data: {{path: data, splits: {{train: "train*", eval: "test*"}}, label: label}}
model:
  module: {module}
candidates:
  one: {chain}
gate:
  accuracy: {{metric: SparseCategoricalAccuracy, max_drop: 0.01}}
push: {{directory: serving}}
"""


@dataclass(frozen=True)
class Case:
    """A model that a technique cannot handle.

    Attributes:
        chain: The candidate's steps, as YAML.
        lines: Lines of build_model, which make `y` out of `x`.
        key: Where the mistake is, below `candidates.one`; or that of the model.
        message: All of what is said.
        shape: Shape of the input.
        before: Lines before build_model.
    """

    chain: str
    lines: str
    key: str
    message: str
    shape: tuple[int, ...] = IMAGE
    before: str = ""
    dtype: str = "float32"

    def source(self) -> str:
        lines = "\n    ".join(self.lines.strip().splitlines())
        return HEAD + self.before + BODY.format(shape=self.shape, dtype=self.dtype, lines=lines)


class Project:
    """A project in a folder of its own, explained in this process."""

    count = 0

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.chdir(root)
        monkeypatch.syspath_prepend(str(root))
        monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        Project.count += 1  # Python keeps modules by name
        self.root = root
        self.module = f"explained_model_{Project.count}"
        self.config = root / "pipeline.yaml"

    def write(self, case: Case) -> None:
        self.config.write_text(CONFIG.format(module=self.module, chain=case.chain), encoding="utf-8")
        (self.root / f"{self.module}.py").write_text(case.source(), encoding="utf-8")
        (self.root / "data").mkdir()
        for name in ("train", "test"):
            self._write_records(name, math.prod(case.shape), case.dtype)

    def _write_records(self, name: str, values: int, dtype: str) -> None:
        path = str(self.root / "data" / f"{name}.tfrecord.gz")
        with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
            for index in range(4):
                example = tf.train.Example()
                if dtype == "float32":
                    example.features.feature["x"].float_list.value.extend([index / 4] * values)
                else:
                    example.features.feature["x"].int64_list.value.extend([index] * values)
                example.features.feature["label"].int64_list.value.append(index % 3)
                writer.write(example.SerializeToString())

    def explain(self, *overrides: str) -> tuple[list[Candidate], list[Problem]]:
        """As the command does; nothing in the project's folder may change by that."""
        before = self.files()
        file = load(self.config, list(overrides))
        found = preflight.explain(file, make_plan(file.config, file.path))
        assert self.files() == before
        return found.candidates, found.problems

    def files(self) -> dict[Path, int]:
        return {
            path: path.stat().st_mtime_ns
            for path in self.root.rglob("*")
            if "__pycache__" not in path.parts and path.is_file()
        }
