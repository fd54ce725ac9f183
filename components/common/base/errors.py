"""The base of every error that a person can act on."""

from __future__ import annotations

from typing import ClassVar


class ParedownError(Exception):
    """An error whose text says what is wrong and what to do; the command line prints it without a traceback.

    Attributes:
        exit_code: What a command ends with if nothing handles the error before.
    """

    exit_code: ClassVar[int] = 2
