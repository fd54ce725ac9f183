"""A project whose runs are compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.diff.two_runs import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)
