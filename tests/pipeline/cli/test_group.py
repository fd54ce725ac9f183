"""The group of commands: their help, and how errors become messages and exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from components.common.base.errors import ParedownError
from pipeline.base import stopping
from pipeline.cli import main
from pipeline.cli.group import COMMANDS
from pipeline.config.problem import InvalidInput, Problem

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_short_help_is_the_first_sentence_of_the_commands_own(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.name == name
    assert COMMANDS[name][1] == command.get_short_help_str(limit=200)


def test_help_lists_every_command_in_one_line_each() -> None:
    lines = CliRunner().invoke(main, ["--help"]).output.splitlines()
    for name, (_, text) in COMMANDS.items():
        assert sum(line.split() == [name, *text.split()] for line in lines) == 1


def test_an_unknown_command_is_refused() -> None:
    result = CliRunner().invoke(main, ["rum"])
    assert result.exit_code == 2
    assert "No such command 'rum'" in result.output


@pytest.mark.parametrize(
    ("words", "incomplete", "completed"),
    [
        ([], "ru", ["run", "runs"]),
        ([], "--h", ["--help"]),
        (["lineage"], "--fo", ["--format"]),
        (["lineage", "--format"], "m", ["mermaid"]),
    ],
)
def test_a_shell_completes_commands_and_options(
    words: list[str], incomplete: str, completed: list[str]
) -> None:
    found = ShellComplete(main, {}, "paredown", "_PAREDOWN_COMPLETE").get_completions(words, incomplete)
    assert [item.value for item in found] == completed


def test_completing_a_command_imports_none() -> None:
    code = "import sys; from pipeline.cli import main; main(prog_name='paredown')"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), "_PAREDOWN_COMPLETE": "bash_complete"}
        | {"COMP_WORDS": "paredown ", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
    )
    assert [line.partition(",")[2] for line in done.stdout.splitlines()] == list(COMMANDS)
    assert "pydantic" not in done.stderr and "pipeline.cli.group" in done.stderr


def test_bash_completes_after_the_line_that_the_readme_gives(tmp_path: Path) -> None:
    line = 'eval "$(_PAREDOWN_COMPLETE=bash_source paredown)"'
    assert line in (ROOT / "README.md").read_text(encoding="utf-8")
    program = tmp_path / "paredown"
    call = f'exec {sys.executable} -c "from pipeline.cli import main; main(prog_name=\'paredown\')" "$@"'
    program.write_text(f"#!/bin/sh\n{call}\n", encoding="utf-8")
    program.chmod(0o755)
    pressed = (
        'COMP_WORDS=(paredown lin); COMP_CWORD=1; _paredown_completion paredown; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", f"{line}; complete -p paredown; {pressed}"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    registered, completed = done.stdout.splitlines()
    assert registered.startswith("complete ") and registered.endswith(" paredown")
    assert completed == "lineage", done.stderr


class Lost(ParedownError):
    """An error with an exit code of its own."""

    exit_code = 5


def run_with(monkeypatch: pytest.MonkeyPatch, error: BaseException, *arguments: str) -> Result:
    """Runs `validate` with an error where it reads the config."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("pipeline.api.configs.load_checked", fail)
    return CliRunner().invoke(main, ["validate", "x.yaml", *arguments])


def test_an_error_is_its_text_and_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_with(monkeypatch, Lost("the server is gone"))
    assert (result.exit_code, result.stdout, result.stderr) == (5, "", "the server is gone\n")
    result = run_with(monkeypatch, Lost("the server is gone"), "--json")
    assert result.exit_code == 5
    assert json.loads(result.stdout) == {
        "valid": False,
        "problems": [{"file": "", "line": None, "key": "", "message": "the server is gone"}],
    }


def test_each_problem_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = [Problem("must be 1", ("gate", 0, "x"), "a.yaml", 7), Problem("is empty", file="b.yaml")]
    result = run_with(monkeypatch, InvalidInput(problems))
    assert result.exit_code == 2
    assert result.stderr.splitlines() == ["a.yaml:7: gate[0].x: must be 1", "b.yaml: is empty"]
    rows = json.loads(run_with(monkeypatch, InvalidInput(problems), "--json").stdout)["problems"]
    assert rows[0] == {"file": "a.yaml", "line": 7, "key": "gate[0].x", "message": "must be 1"}


def test_other_errors_are_faults_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_with(monkeypatch, ValueError("a bug"))
    assert result.exit_code == 1 and isinstance(result.exception, ValueError)


def test_ctrl_c_ends_a_command_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_with(monkeypatch, KeyboardInterrupt())
    assert (result.exit_code, result.stderr) == (130, "Interrupted.\n")


@pytest.mark.parametrize(
    "arguments", [["schema"], ["plan", "configs/mnist/pipeline.yaml"], ["plan", "--help"]]
)
def test_a_reader_that_has_read_enough_is_not_an_error(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *arguments],
        cwd=ROOT,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A folder for temporary files, to see what is left in it."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def shell(script: str, scratch: Path) -> subprocess.CompletedProcess[str]:
    """Runs a shell script in which `paredown` is the program."""
    script = f'paredown() {{ "{sys.executable}" -m pipeline.cli "$@"; }}; {script}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(scratch)}
    return subprocess.run(["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("command", "output", "why"),
    [
        ("schema", "/dev/full", "No space left on device"),
        ("plan configs/mnist/pipeline.yaml", "&-", "Bad file descriptor"),
        ("plan --help", "/dev/full", "No space left on device"),
        ("--help", "&-", "Bad file descriptor"),
    ],
)
def test_output_that_cannot_be_written_is_one_message(
    command: str, output: str, why: str, scratch: Path
) -> None:
    done = shell(f"paredown {command} >{output}", scratch)
    assert (done.returncode, done.stderr) == (141, f"standard output cannot be written: {why}\n")
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("validate no.yaml 2>&-", 2),
        ("validate no.yaml 2>/dev/full", 2),
        ("validate configs/mnist/pipeline.yaml 2>&- <&-", 0),
        ("rum 2>/dev/full <&-", 2),
    ],
)
def test_without_standard_error_a_command_has_its_exit_code(command: str, code: int, scratch: Path) -> None:
    assert shell(f"paredown {command}", scratch).returncode == code


def test_a_working_directory_that_is_gone_is_named(scratch: Path) -> None:
    done = shell(
        f"mkdir {scratch}/gone; cd {scratch}/gone; rmdir ../gone; paredown validate x.yaml", scratch
    )
    assert done.returncode == 2
    assert done.stderr == (
        "the working directory cannot be used: No such file or directory; change to a folder that exists\n"
    )


def test_what_the_system_refuses_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_with(monkeypatch, PermissionError(13, "Permission denied", "a\x1b[2J\nb"))
    assert (result.exit_code, result.stderr) == (2, "a\\x1b[2J\\nb: Permission denied\n")
    assert run_with(monkeypatch, BlockingIOError("busy")).stderr == "busy\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_a_command_that_checks_and_leaves_nothing(number: int, scratch: Path) -> None:
    code = f"""
import os, signal, sys
from pipeline.base import log_file
from pipeline.base import stopping
from pipeline.cli import main
import pipeline.api.configs
def check(*_):
    with log_file.quiet("Checking …"):
        os.kill(os.getpid(), {int(number)})
        signal.pause()
pipeline.api.configs.load_checked = check
main(["validate", "x.yaml"])
"""
    # coverage takes SIGTERM for itself, and what is taken is left alone.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    environment = {**kept, "PYTHONPATH": str(ROOT), "TMPDIR": str(scratch)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr.splitlines()[-1]) == (130, "Interrupted.")
    assert "Traceback" not in done.stderr and list(scratch.iterdir()) == []


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping.as_ctrl_c():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, previous)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
