"""Stores on servers."""

from __future__ import annotations

import pytest

from pipeline.config.metadata_url import PASSWORD_VARIABLE
from tests.servers.database import Database


@pytest.fixture(autouse=True)
def _no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)


@pytest.fixture
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The database server that a test is parametrized with, its password in the environment."""
    found = request.getfixturevalue(request.param)
    monkeypatch.setenv(PASSWORD_VARIABLE, found.password)
    return found
