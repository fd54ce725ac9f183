"""SIGTERM and SIGHUP as Ctrl-C: a command that is stopped tidies up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def as_ctrl_c() -> Iterator[None]:
    """Raises KeyboardInterrupt in the block when the process gets SIGTERM or SIGHUP.

    Python ends at once otherwise, and temporary folders stay. A signal that is ignored, as nohup ignores SIGHUP,
    stays so. Outside of the main thread, which alone gets signals, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            signal.signal(number, signal.SIG_IGN)  # the kernel and the shell both send it
        raise KeyboardInterrupt

    taken = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
