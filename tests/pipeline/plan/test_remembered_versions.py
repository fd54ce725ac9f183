"""What `plan` remembers of the components' code from one command to the next, and that a run does not go by it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.plan import code_version, remembered_versions
from pipeline.plan.code_version import component_version

STEP = "components.step.executor"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(remembered_versions, "TICK_NS", 0)
    monkeypatch.setattr("sys.path", [str(tmp_path / "packages")])
    (tmp_path / "packages").mkdir()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The code of one component, which imports another module."""
    root = tmp_path / "code"
    (root / "components/step").mkdir(parents=True)
    (root / "components/__init__.py").touch()
    (root / "components/step/__init__.py").touch()
    (root / "components/step/executor.py").write_text("from components.step import work\n")
    (root / "components/step/work.py").write_text("RATE = 1\n")
    return root


def new_process() -> None:
    """Forgets what only this process knows."""
    code_version._component_version.cache_clear()
    code_version._tree.cache_clear()


def ask(root: Path, module: str = STEP) -> str:
    new_process()
    with remembered_versions.remembered(root):
        return component_version(module, root=root)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the Python files that are read."""
    names: list[str] = []
    whole = code_version.read_source

    def reading(content: bytes, filename: str) -> code_version.Source:
        names.append(os.path.basename(filename))
        return whole(content, filename)

    monkeypatch.setattr(code_version, "read_source", reading)
    return names


def test_a_version_is_found_once(root: Path, read: list[str]) -> None:
    first = ask(root)
    assert "work.py" in read
    read.clear()

    assert ask(root) == first
    assert read == []

    # Another question is not answered by it.
    assert ask(root, "components.step.work") != first
    assert "work.py" in read


def test_an_edit_counts_at_once(root: Path) -> None:
    first = ask(root)
    work = root / "components/step/work.py"
    status = work.stat()
    work.write_text("RATE = 2\n")  # same size
    os.utime(work, ns=(status.st_atime_ns, status.st_mtime_ns))

    edited = ask(root)

    assert edited != first
    new_process()
    assert edited == component_version(STEP, root=root)


def test_another_package_counts_at_once(root: Path, tmp_path: Path, read: list[str]) -> None:
    ask(root)
    read.clear()
    (tmp_path / "packages/tensorflow-9.dist-info").mkdir()

    ask(root)

    assert "work.py" in read


def test_what_changed_just_now_is_not_remembered(
    root: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered_versions, "TICK_NS", 10**18)
    ask(root)
    read.clear()

    ask(root)

    assert "work.py" in read


def test_a_run_goes_by_what_it_reads(root: Path, read: list[str]) -> None:
    first = ask(root)
    read.clear()
    new_process()

    assert component_version(STEP, root=root) == first
    assert "work.py" in read


def test_a_component_of_another_package_is_read_each_time(root: Path, read: list[str]) -> None:
    (root / "mine").mkdir()
    (root / "mine/executor.py").write_text("RATE = 1\n")
    first = ask(root, "mine.executor")
    (root / "mine/executor.py").write_text("RATE = 2\n")

    assert ask(root, "mine.executor") != first
