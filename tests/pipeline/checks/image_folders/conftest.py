"""The project that these tests check."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.checks.image_folders.pictures import Folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    return Folder(tmp_path, monkeypatch)
