"""Texts that ml_metadata alone would not keep."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config.metadata_url import PASSWORD_VARIABLE
from pipeline.store.connection import connect
from tests.pipeline.store.notes import TEXTS, put

pytest_plugins = ["tests.servers.fixtures"]
DATABASES = ["mariadb_server", "postgresql_server"]


@pytest.mark.parametrize("kind", ["sqlite", *DATABASES, "grpc"])
def test_any_text_comes_back_as_it_was_written(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path / 'store'}"
    elif kind == "grpc":
        url = request.getfixturevalue("grpc_url")
    else:
        server = request.getfixturevalue(kind)
        monkeypatch.setenv(PASSWORD_VARIABLE, server.password)
        url = server.url("texts")
    store = connect(url, write=True)
    for name, text in TEXTS.items():
        assert put(store, name, text).custom_properties["text"].string_value == text, name
    again = connect(url)
    found = {c.name: c.custom_properties["text"].string_value for c in again.get_contexts_by_type("note")}
    assert found == TEXTS
