"""Which stack `make setup` installs: requirements/stack.py."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "requirements"
spec = util.spec_from_file_location("stack", FOLDER / "stack.py")
assert spec is not None and spec.loader is not None
stack = util.module_from_spec(spec)
sys.modules["stack"] = stack  # named tuples look their module up
spec.loader.exec_module(stack)

NEW = stack.Machine("Linux", "x86_64", (2, 41))
OLD = stack.Machine("Linux", "x86_64", (2, 36))


def python(path: Path, version: str, missing: str = "", shim: bool = False) -> Path:
    """A program that answers stack.py's probe as a Python of this version does; a shim exits with 127."""
    path.parent.mkdir(parents=True, exist_ok=True)
    answer = f"echo {version}\n" + (
        f"echo \"ModuleNotFoundError: No module named '{missing}'\" >&2; exit 1"
        if missing
        else "echo usable"
    )
    path.write_text(f"#!/bin/sh\n{'exit 127' if shim else answer}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "bin").mkdir()
    return {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}


def chosen(machine: tuple[object, ...], environment: dict[str, str]) -> tuple[str, str]:
    choice = stack.choose(machine, environment)
    return choice.stack.name, str(Path(choice.python).relative_to(environment["HOME"]))


def test_the_newest_stack_with_the_newest_of_its_pythons(home: dict[str, str], tmp_path: Path) -> None:
    python(tmp_path / "bin/python3.10", "3.10")
    assert chosen(NEW, home) == ("py310", "bin/python3.10")
    python(tmp_path / ".pyenv/versions/3.11.9/bin/python3.11", "3.11")
    assert chosen(NEW, home) == ("py313", ".pyenv/versions/3.11.9/bin/python3.11")
    python(tmp_path / "bin/python3", "3.13")
    assert chosen(NEW, home) == ("py313", "bin/python3")
    # The same Pythons, and an older C library.
    assert chosen(OLD, home) == ("py310", "bin/python3.10")
    assert stack.choose(OLD, home).why == (
        "py313 cannot be installed: its packages need glibc 2.39, and this system has 2.36"
    )


def test_a_python_that_is_too_new_is_passed_over(home: dict[str, str], tmp_path: Path) -> None:
    python(tmp_path / "bin/python3", "3.14")
    with pytest.raises(stack.NoStackError) as caught:
        stack.choose(NEW, home)
    assert str(caught.value).splitlines() == [
        "py313 needs Python 3.13, 3.12, 3.11, and no usable one was found",
        "py310 needs Python 3.10, and no usable one was found",
    ]
    python(tmp_path / ".local/share/uv/python/cpython-3.12.7-linux/bin/python3.12", "3.12")
    assert chosen(NEW, home)[0] == "py313"


def test_a_shim_that_does_not_run_and_a_python_without_venv_are_passed_over(
    home: dict[str, str], tmp_path: Path
) -> None:
    python(tmp_path / "bin/python3.10", "3.10", shim=True)
    python(tmp_path / ".pyenv/versions/3.10.9/bin/python3.10", "3.10", missing="ensurepip")
    with pytest.raises(stack.NoStackError, match=r"3\.10\.9/bin/python3\.10 cannot be used: .*'ensurepip'"):
        stack.choose(OLD, home)
    python(tmp_path / ".pyenv/versions/3.10.13/bin/python3.10", "3.10")
    assert chosen(OLD, home) == ("py310", ".pyenv/versions/3.10.13/bin/python3.10")


def test_what_is_asked_for_comes_first(home: dict[str, str], tmp_path: Path) -> None:
    old = python(tmp_path / "old/python", "3.10")
    python(tmp_path / "bin/python3.10", "3.10")
    python(tmp_path / "bin/python3.13", "3.13")
    assert chosen(NEW, {**home, "STACK": "py310"}) == ("py310", "bin/python3.10")
    assert chosen(NEW, {**home, "PYTHON": str(old)}) == ("py310", "old/python")
    # An interpreter that no stack can use is named, and another is used.
    other = str(python(tmp_path / "other/python", "3.9"))
    choice = stack.choose(NEW, {**home, "PYTHON": other})
    assert (choice.stack.name, choice.why) == (
        "py313",
        f"PYTHON={other} cannot be used: it is Python 3.9; the newest for this system",
    )
    with pytest.raises(stack.NoStackError, match=r"glibc 2\.39, and this system has 2\.36"):
        stack.choose(OLD, {**home, "STACK": "py313"})
    with pytest.raises(stack.NoStackError, match="There is no stack py3; write STACK=py313 or STACK=py310"):
        stack.choose(NEW, {**home, "STACK": "py3"})


@pytest.mark.parametrize(
    ("machine", "why"),
    [
        (("Darwin", "arm64", None), "for Linux on x86-64, and this is Darwin on arm64"),
        (("Linux", "aarch64", (2, 41)), "for Linux on x86-64, and this is Linux on aarch64"),
        (("Linux", "x86_64", None), "need glibc, and this system has another C library"),
        (("Linux", "x86_64", (2, 17)), "need glibc 2.28, and this system has 2.17"),
    ],
)
def test_a_machine_that_can_install_none(
    machine: tuple[object, ...], why: str, home: dict[str, str], tmp_path: Path
) -> None:
    python(tmp_path / "bin/python3.10", "3.10")
    python(tmp_path / "bin/python3.13", "3.13")
    with pytest.raises(stack.NoStackError, match=re.escape(why)):
        stack.choose(stack.Machine(*machine), home)


def test_the_program_prints_the_choice_or_what_to_install(tmp_path: Path) -> None:
    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-S", FOLDER / "stack.py"], env=environment, capture_output=True, text=True
        )

    here = run(HOME=str(tmp_path), PATH=os.devnull, PYTHON=sys.executable)
    name = "py310" if sys.version_info < (3, 11) else "py313"
    assert (here.returncode, here.stdout) == (0, f"{name}\n{sys.executable}\n")
    assert here.stderr.count("\n") == 1 and here.stderr.startswith(f"Stack {name} (TFX 1.")
    none = run(HOME=str(tmp_path), PATH=os.devnull)
    assert (none.returncode, none.stdout) == (1, "")
    for system in ("Debian 13", "Ubuntu 24.04", "Fedora", "macOS", "WSL"):
        assert system in none.stderr


def test_each_stack_has_a_lock_with_hashes_of_its_tfx() -> None:
    assert {one.name for one in stack.STACKS} == {path.stem for path in FOLDER.glob("*.lock")}
    for one in stack.STACKS:
        text = (FOLDER / f"{one.name}.lock").read_text(encoding="utf-8")
        assert re.search(rf"^tfx==({re.escape(one.tfx)})\.\d+ ", text, re.MULTILINE)
        blocks = re.split(r"\n(?=[a-z0-9][\w.-]*==)", text)[1:]
        assert len(blocks) > 150
        assert [block for block in blocks if "--hash=sha256:" not in block] == []
        assert f"-r requirements/{one.name}.in" in text
