"""A project after a run, for the tests that ask something of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.project import Project, make_project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, Any]]:
    """A project after its first run, and what that run printed."""
    project = make_project(tmp_path_factory.mktemp("e2e") / "project", train=3000, test=600, program=True)
    return project, project.run()


@pytest.fixture
def untouched(finished: tuple[Project, dict[str, Any]]) -> Iterator[Project]:
    """The finished project, for a test that changes it: every file is put back after the test."""
    with finished[0].restored() as project:
        yield project
