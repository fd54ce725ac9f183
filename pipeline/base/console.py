"""Consoles that people and logs read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NoReturn, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from pipeline.base.texts import printable

_PLAIN_WIDTH = 140


class _Console(Console):
    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Shows control characters of texts as escapes; those of the console itself are in control segments."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable(segment.text, keep="\n"), segment.style)

    def on_broken_pipe(self) -> NoReturn:
        """Leaves a closed pipe to the command line; rich would end the program with exit code 1."""
        raise BrokenPipeError


def make_console(
    stream: TextIO | None = None, stderr: bool = False, width: int | None = None, record: bool = False
) -> Console:
    """A console that is plain and wide if no terminal shows it, and obeys NO_COLOR; `:x:` in a text stays so.

    Args:
        stream: What it prints to; standard output if not given.
        stderr: Whether that is standard error.
        width: Its columns; those of the terminal if not given.
        record: Whether what is printed can be exported.
    """
    if width is not None:
        return _Console(
            file=stream, stderr=stderr, highlight=False, emoji=False, width=width, record=record
        )
    console = _Console(file=stream, stderr=stderr, highlight=False, emoji=False, soft_wrap=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = _Console(file=stream, stderr=stderr, highlight=False, emoji=False, width=_PLAIN_WIDTH)
    return console
