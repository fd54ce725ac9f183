"""The base of every error that a person can act on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar


class ParedownError(Exception):
    """An error whose text says what is wrong and what to do; the command line prints it without a traceback.

    Attributes:
        exit_code: What a command ends with if nothing handles the error before.
    """

    exit_code: ClassVar[int] = 2


def describe(error: BaseException) -> str:
    """An exception in one line: its type, and the first line of its message.

    If its class says `told_whole`, it has its whole message, a line for each mistake.
    """
    if getattr(error, "told_whole", False):
        return f"{type(error).__name__}: {error}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else ""
    if text.endswith(":"):
        # "Graph execution error:" and "in user code:" come before a traceback; the reason is its last line.
        text = next((line for line in reversed(lines) if not line.startswith("[[")), text)
    name = type(error).__name__
    return text if text.startswith(f"{name}: ") else f"{name}: {text}" if text else name


def causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and what it came from, the outermost first."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def reason_of(error: BaseException) -> str:
    """Why something failed, in one line: the exception of its chain that is written for people.

    That is the outermost ParedownError, which says what to do about what it came from. If there is none, it is the
    first cause: libraries wrap it, and what they add is about themselves.
    """
    found = error
    while found.__cause__ is not None:
        found = found.__cause__
    found = next((cause for cause in causes(error) if isinstance(cause, ParedownError)), found)
    # Beam raises a copy with " [while running 'step']" after the text.
    before = found.__context__
    while type(before) is type(found) and str(found).startswith(f"{before} [while running "):
        found, before = before, before.__context__
    return describe(found)
