"""The outcome of a command that runs nodes, on screen or as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any, Protocol

import click
from rich.console import Console

from pipeline.api import running
from pipeline.base.console import make_console


class Outcome(Protocol):
    """The outcome of a run, or of several."""

    @property
    def exit_code(self) -> int:
        """Exit code of the command."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""

    def show(self, console: Console) -> None:
        """Prints it."""


def print_outcome(perform: Callable[[], Outcome], as_json: bool) -> int:
    """Runs, and prints the outcome; returns the exit code."""
    try:
        outcome = perform()
    except running.RunStopped as error:  # which the run has said
        if as_json:
            click.echo(json.dumps({"error": dataclasses.asdict(error.stopped)}, indent=2))
        return error.exit_code
    if as_json:
        click.echo(json.dumps(outcome.to_json(), indent=2))
    else:
        outcome.show(make_console())
    return outcome.exit_code
