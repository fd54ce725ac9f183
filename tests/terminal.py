"""Commands on a terminal: what a person would see, not what a pipe gets."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Colours, moves of the cursor, and titles.
_CONTROL = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|[@-_])")


@dataclass(frozen=True)
class Screen:
    """What a command wrote to its terminal.

    Attributes:
        code: Exit code.
        raw: Everything, with control sequences.
    """

    code: int
    raw: str

    @property
    def lines(self) -> list[str]:
        """Lines as they are left when the command ends: of a line that is drawn again, the last drawing."""
        shown: list[str] = [""]
        for part in re.split(r"(\x1b\[\d*A|\x1b\[2K|\r?\n|\r)", _without_colour(self.raw)):
            if part in ("\n", "\r\n"):
                shown.append("")
            elif re.fullmatch(r"\x1b\[\d*A", part):
                for _ in range(int(part[2:-1] or 1)):
                    if len(shown) > 1:
                        shown.pop()
            elif part == "\x1b[2K":
                shown[-1] = ""
            elif part == "\r":
                pass
            else:
                shown[-1] = part if part else shown[-1]
        return [_CONTROL.sub("", line).rstrip() for line in shown]

    @property
    def said(self) -> str:
        """Every character that was shown at any time, without control sequences."""
        return _CONTROL.sub("", self.raw)


def _without_colour(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m|\x1b\[\?\d+[hl]", "", text)


def on_terminal(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], columns: int = 120
) -> Screen:
    """Runs a command with a terminal as its standard streams."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**environment, "TERM": "xterm-256color"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    written = bytearray()
    with contextlib.suppress(OSError):  # EIO, when the last process that has the terminal is gone
        while chunk := os.read(ours, 65536):
            written += chunk
    os.close(ours)
    return Screen(process.wait(), written.decode("utf-8", "replace"))
