"""A project on folders of images."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline.checks import preflight
from pipeline.checks.config_checks import check
from pipeline.config.config_file import load
from pipeline.config.problem import Problem
from pipeline.plan.planner import make_plan

CONFIG = """\
name: pictures
data:
  format: images
  path: data
  splits: {train: "train/*/*", eval: "eval/*/*"}
  image: {size: [6, 8], channels: 1}
model:
  module: MODULE
candidates:
  int8:
    - convert: {quantization: int8}
gate:
  accuracy: {metric: SparseCategoricalAccuracy, max_drop: 0.01, slices: [{by: label, max_drop: 0.1}]}
push: {directory: serving}
"""
MODEL = """\
import tf_keras


def build_model(hparams):
    x = tf_keras.layers.Input((6, 8, 1), name="image")
    y = tf_keras.layers.Dense(2, activation="softmax", name="y")(tf_keras.layers.Flatten()(x))
    model = tf_keras.Model(x, y)
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model
"""


def image(kind: str = "PNG", **changes: Any) -> bytes:
    target = io.BytesIO()
    mode = changes.pop("mode", "RGB")
    Image.new(mode, (10, 12), **changes).save(target, kind)
    return target.getvalue()


PNG, JPEG = image(), image("JPEG")


class Folder:
    """A project in a folder of its own, checked in this process."""

    count = 0

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.chdir(root)
        monkeypatch.syspath_prepend(str(root))
        Folder.count += 1
        self.root = root
        self.module = f"pictures_model_{Folder.count}"
        (root / "pipeline.yaml").write_text(CONFIG.replace("MODULE", self.module), encoding="utf-8")
        self.write_model(MODEL)
        for split in ("train", "eval"):
            self.write(f"{split}/cat/1.png", PNG)
            self.write(f"{split}/dog/1.jpg", JPEG)

    def write_model(self, text: str) -> None:
        (self.root / f"{self.module}.py").write_text(text, encoding="utf-8")

    def write(self, name: str, content: bytes) -> Path:
        path = self.root / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def check(self, *overrides: str) -> list[Problem]:
        """What is said without TensorFlow."""
        return check(load(self.root / "pipeline.yaml", list(overrides)))

    def preflight(self, *overrides: str, cached: frozenset[str] = frozenset()) -> list[Problem]:
        """What is said before a run besides."""
        file = load(self.root / "pipeline.yaml", list(overrides))
        assert check(file) == []
        return preflight.check(file, make_plan(file.config, file.path), set(cached)).problems

    def message(self, *overrides: str, key: str = "data.splits.train") -> str:
        (problem,) = self.check(*overrides)
        assert problem.key() == key
        return problem.message
