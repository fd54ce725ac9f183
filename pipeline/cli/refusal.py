"""Refusing invalid input."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from pipeline.base.exit_code import EXIT_INVALID

if TYPE_CHECKING:
    from pipeline.config.problem import Problem


def row(problem: Problem) -> dict[str, Any]:
    """A problem as JSON values."""
    return {
        "file": problem.file,
        "line": problem.line,
        "key": problem.key(),
        "message": problem.message,
    }


def refuse(problems: list[Problem], as_json: bool) -> None:
    """Prints problems and ends the program."""
    if as_json:
        rows = [row(problem) for problem in problems]
        click.echo(json.dumps({"valid": False, "problems": rows}, indent=2))
    else:
        for problem in problems:
            click.echo(str(problem), err=True)
    sys.exit(EXIT_INVALID)
