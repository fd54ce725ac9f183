"""Consoles that people and logs read."""

from __future__ import annotations

import os
from typing import TextIO

from rich.console import Console

_PLAIN_WIDTH = 140


def make_console(stream: TextIO | None = None, stderr: bool = False) -> Console:
    """A console that is plain and wide where nobody watches, and obeys NO_COLOR."""
    console = Console(file=stream, stderr=stderr, highlight=False, soft_wrap=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(file=stream, stderr=stderr, highlight=False, width=_PLAIN_WIDTH)
    return console
