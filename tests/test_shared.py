"""What several processes need is made once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.shared import Shared


def test_who_asks_at_the_same_time_gets_what_one_of_them_made(tmp_path: Path) -> None:
    built: list[Path] = []
    found: list[tuple[str, float]] = []

    def build(folder: Path) -> tuple[str, float]:
        (folder / "weights").write_bytes(b"1")
        built.append(folder)
        return str(folder), 0.5

    askers = [
        threading.Thread(target=lambda: found.append(Shared(tmp_path / "all").make("model", build)))
        for _ in range(4)
    ]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(built) == 1 and (built[0] / "weights").exists()
    assert found == [(str(built[0]), 0.5)] * 4


def test_what_failed_is_made_again(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise ValueError("no weights")

    shared = Shared(tmp_path / "all")
    with pytest.raises(ValueError, match="no weights"):
        shared.make("model", fail)
    assert shared.make("model", lambda folder: [path.name for path in folder.iterdir()]) == []
