"""Cost of a command with all processes that it starts: wall clock, CPU time and memory."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.process import descendants

# Seconds between two looks at the memory. A look takes 40 ms, which two busy cores would miss if there were more.
_EVERY = 1.0


@dataclass(frozen=True)
class Cost:
    """Cost of a command.

    Attributes:
        wall: Seconds.
        cpu: Seconds of all processes, user and system.
        peak: Greatest sum of the processes' memory, bytes; what several share counts once (PSS).
    """

    wall: float
    cpu: float
    peak: int


def measure(
    command: Sequence[str], folder: Path, environment: dict[str, str], output: Path, log: Path
) -> Cost:
    """Runs a command to its end.

    Args:
        command: Program and arguments.
        folder: To run it in.
        environment: Environment of the process.
        output: Gets its standard output.
        log: Gets its standard error.

    Raises:
        CalledProcessError: If it fails; the end of its log is printed.
    """
    peak = 0
    ended = threading.Event()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    with output.open("wb") as out, log.open("wb") as err:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=err)

        def watch() -> None:
            nonlocal peak
            while not ended.wait(_EVERY):
                peak = max(peak, sum(map(_memory, {process.pid, *descendants(process.pid)})))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        code = process.wait()
        wall = time.perf_counter() - begin
        ended.set()
        watcher.join()
    if code:
        print(
            *log.read_text(encoding="utf-8", errors="replace").splitlines()[-40:], sep="\n", file=sys.stderr
        )
        raise subprocess.CalledProcessError(code, command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak)


def _memory(process: int) -> int:
    """Proportional set size, bytes; 0 if the process has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
