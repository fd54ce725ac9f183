"""Processes of runs."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """The process of a run.

    Attributes:
        host: Name of the machine.
        pid: Its number there.
        started: When it began, as that machine's boot id and the clock ticks since: this distinguishes it from a
            later process with the same number.
    """

    host: str
    pid: int
    started: str

    def is_here(self) -> bool:
        """Whether it is a process of this machine."""
        return self.host == platform.node()

    def is_alive(self) -> bool:
        """Whether it still runs. Only meaningful if it is a process of this machine."""
        return bool(self.started) and self.started == _process_start(self.pid)


def this_process() -> Process:
    """The current process."""
    return Process(platform.node(), os.getpid(), _process_start(os.getpid()))


def _process_start(pid: int) -> str:
    """Boot and clock tick at which a process began (`man 5 proc`); empty if there is no such process."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # The second field, the name in parentheses, may hold blanks; the 22nd is the start.
        fields = (
            Path(f"/proc/{pid}/stat")
            .read_text(encoding="utf-8", errors="replace")
            .rpartition(")")[2]
            .split()
        )
    except OSError:
        return ""
    return "" if fields[0] == "Z" else f"{boot}:{fields[19]}"
