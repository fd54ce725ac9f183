"""A project with a model file of each kind."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest

from tests.pipeline.checks.import_checks.model_files import LAMBDA, OPERATION, keras_file
from tests.project import Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """One with a module, and a model of each kind as far as it is looked at without TensorFlow."""
    made = Project(tmp_path, monkeypatch)
    for split in ("train", "eval"):
        made.write(f"data/{split}.tfrecord", b"x")
    (tmp_path / "student.py").write_text("def build_student(hparams):\n    raise AssertionError\n")
    (tmp_path / "whole.py").write_text("def build_model(hparams):\n    raise AssertionError\n")
    keras_file(tmp_path / "model.keras")
    keras_file(tmp_path / "keras3.keras", "3.12.4", OPERATION)
    keras_file(tmp_path / "lambda.keras", config=LAMBDA)
    keras_file(tmp_path / "bare.keras", compiled=False)
    with h5py.File(tmp_path / "w.weights.h5", "w") as file:
        file.create_group("layers")
    for folder, extra in (("plain", False), ("layered", True)):
        (tmp_path / folder / "variables").mkdir(parents=True)
        (tmp_path / folder / "saved_model.pb").write_bytes(b"\x12\0")  # one empty graph
        (tmp_path / folder / "variables/variables.index").write_bytes(b"index")
        if extra:
            (tmp_path / folder / "keras_metadata.pb").write_bytes(b"")
    (tmp_path / "deployed.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(80))
    return made
