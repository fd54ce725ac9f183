"""The group of commands: their help, and how errors become messages and exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from components.common.base.errors import ParedownError
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


class Lost(ParedownError):
    """An error with an exit code of its own."""

    exit_code = 5


def run_with(monkeypatch: pytest.MonkeyPatch, error: BaseException, *arguments: str) -> Result:
    """Runs `validate` with an error where it reads the config."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("pipeline.cli.validate.load_checked", fail)
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
