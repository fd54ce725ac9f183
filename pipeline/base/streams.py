"""Standard streams that are closed, or that cannot be written."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO

import click

from pipeline.base.texts import printable


def occupy() -> None:
    """Opens the standard streams that the process was started without.

    Otherwise the next file to be opened, a database for example, would get the number of the stream, and what is
    printed would go into that file. What is written to standard output then fails, as it would to any closed file;
    messages to standard error are lost.
    """
    for number, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, flags), True)  # the lowest number that is free
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            stream = open(number, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def say(message: str) -> None:
    """Prints a message as one line on standard error, which may be closed."""
    try:
        click.echo(printable(message), err=True)
    except OSError:
        _discard(sys.stderr)


def answer(text: str) -> None:
    """Prints a text as one line on standard output, whatever is in the names that it contains."""
    click.echo(printable(text))


def output_is_lost() -> bool:
    """Whether standard output cannot be written, which an empty line shows; the rest of it then goes nowhere."""
    try:
        click.echo()
    except OSError:
        _discard(sys.stdout)
        return True
    return False


def _discard(stream: TextIO) -> None:
    """Lets the rest of a stream's output go nowhere: the interpreter flushes it once more when it ends."""
    with suppress(OSError):  # it has no descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
