"""Fixtures that the tests of the checks share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.checks.unread import CONFIG, MODEL
from tests.project import Project


@pytest.fixture
def unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose model module must not be executed, nor its data read."""
    made = Project(tmp_path, monkeypatch)
    for name in ("train-0", "train-1", "test-0"):
        made.write(f"data/{name}.tfrecord", "x")
    made.write("my/model.py", MODEL)
    made.write_config(CONFIG)
    return made
