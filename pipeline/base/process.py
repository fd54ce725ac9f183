"""Processes of runs."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

_PR_SET_PDEATHSIG = 1  # of `man 2 prctl`


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


def descendants(pid: int) -> set[int]:
    """Ids of the processes that a process started, and of those that they started."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal() and (fields := _status(f"/proc/{name}/stat")):
            children.setdefault(int(fields[1]), []).append(int(name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        new = set(children.get(waiting.pop(), [])) - found
        found |= new
        waiting += new
    return found


@contextmanager
def paused(pids: Callable[[], Collection[int]], patience: float = 5.0) -> Iterator[None]:
    """Pauses processes for the length of a `with` block, which begins when all of their threads have stopped.

    Args:
        pids: Returns their ids. Is called until there are no new ones, since processes start others until they stop.
            Those that are paused already stay so at the end.
        patience: Seconds after which one is not waited for any more that the system does not stop, because it waits
            for a disk.
    """
    stopped: set[int] = set()
    try:
        while new := set(filter(_is_at_work, set(pids()) - stopped)):
            for pid in new:
                stopped.add(pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
            until = time.monotonic() + patience
            while any(map(_is_at_work, new)) and time.monotonic() < until:
                time.sleep(0.001)
        yield
    finally:
        for pid in stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextmanager
def paused_by_ctrl_z(pids: Callable[[], Collection[int]]) -> Iterator[None]:
    """Pauses processes that a terminal does not reach while Ctrl-Z stops this one.

    Outside of the main thread, which alone gets signals, it does nothing.

    Args:
        pids: Returns their ids.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        with paused(pids):
            os.kill(os.getpid(), signal.SIGSTOP)

    before = signal.signal(signal.SIGTSTP, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, before)


def _is_at_work(pid: int) -> bool:
    """Whether a thread of a process is neither stopped nor ended."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return False
    states = [fields[0] for thread in threads if (fields := _status(f"/proc/{pid}/task/{thread}/stat"))]
    return not set(states) <= set("TtZX")


def end_with(parent: int) -> None:
    """Has the system kill this process when the thread of its parent that forked it ends, however it ends.

    Args:
        parent: Id of the parent, which may have ended before.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _process_start(pid: int) -> str:
    """Boot and clock tick at which a process began (`man 5 proc`); empty if there is no such process."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
    fields = _status(f"/proc/{pid}/stat")  # the 22nd in all is the start
    return "" if not fields or fields[0] == "Z" else f"{boot}:{fields[19]}"


def _status(file: str) -> list[str]:
    """Fields of a process or thread behind its name in parentheses, which may hold blanks; none if it has ended."""
    try:
        with open(file, encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()
    except OSError:
        return []
