"""What is at a path that is inspected, if it is not a model."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.inspection.contents import InspectionError
from pipeline.inspection.target import find


@pytest.mark.parametrize("name", ["model.tflite", "model.h5", "model.keras", "pipe"])
def test_a_fifo_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(InspectionError, match="is not a regular file"):
        find(tmp_path / name)


def test_a_device_is_not_read() -> None:
    with pytest.raises(InspectionError, match="is not a regular file"):
        find(Path("/dev/zero"))


def test_a_fifo_in_a_saved_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "variables").mkdir()
    (tmp_path / "saved_model.pb").write_bytes(b"x")
    os.mkfifo(tmp_path / "variables" / "variables.index")
    with pytest.raises(InspectionError, match=r"FIFO, device or socket in it, .*index; remove it"):
        find(tmp_path)


def test_links_to_nothing_or_to_themselves_are_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InspectionError, match="Too many levels of symbolic links"):
        find(tmp_path / "loop")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "again").symlink_to(".")
    with pytest.raises(InspectionError, match="has no model in it"):
        find(tmp_path / "folder")
    with pytest.raises(InspectionError, match="File name too long"):
        find(tmp_path / ("x" * 300))
