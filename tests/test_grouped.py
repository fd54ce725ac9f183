"""A test that ends its process is one failure, and every other test runs, whichever it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = """
import pytest
from tests.grouped import Grouped

def pytest_xdist_make_scheduler(config, log):
    return Grouped(config, log, lambda nodeid: nodeid.partition("::")[0])
"""
FILES, TESTS = 4, 3
CRASH = "import os\n    os._exit(3)"


@pytest.mark.parametrize(("file", "test"), [(0, 0), (0, TESTS - 1), (FILES - 1, 1), (FILES - 1, TESTS - 1)])
def test_all_others_run(tmp_path: Path, file: int, test: int) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    for number in range(FILES):
        bodies = [CRASH if (number, one) == (file, test) else "pass" for one in range(TESTS)]
        text = "".join(f"def test_{one}():\n    {body}\n" for one, body in enumerate(bodies))
        (tmp_path / f"test_{number}.py").write_text(text, encoding="utf-8")
    options = (
        "-q",
        "-p",
        "no:cacheprovider",
        "-n",
        "2",
        "--dist",
        "loadscope",
        "--max-worker-restart",
        "2",
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[1]), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert f"1 failed, {FILES * TESTS - 1} passed" in done.stdout, done.stdout
    assert f"test_{file}.py::test_{test}" in done.stdout
