"""The base of every error that a person can act on."""

from __future__ import annotations

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


def root_cause(error: BaseException) -> str:
    """An exception in one line; of what Beam wraps, the inside."""
    while error.__cause__ is not None:
        error = error.__cause__
    return describe(error)
