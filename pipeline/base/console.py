"""Consoles that people and logs read."""

from __future__ import annotations

import os
from typing import NoReturn, TextIO

from rich.console import Console

_PLAIN_WIDTH = 140


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        """Leaves a closed pipe to the command line; rich would end the program with exit code 1."""
        raise BrokenPipeError


def make_console(stream: TextIO | None = None, stderr: bool = False) -> Console:
    """A console that is plain and wide if no terminal shows it, and obeys NO_COLOR."""
    console = _Console(file=stream, stderr=stderr, highlight=False, soft_wrap=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = _Console(file=stream, stderr=stderr, highlight=False, width=_PLAIN_WIDTH)
    return console
