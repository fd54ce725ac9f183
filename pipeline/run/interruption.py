"""Being asked to stop, by Ctrl-C, SIGTERM or SIGHUP."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from components.common.base.interruption import Interrupted


class Interruption:
    """Whether this run was asked to stop."""

    def __init__(self) -> None:
        self.asked = False

    def check(self) -> None:
        """Raises Interrupted if the run was asked to stop, also if a library swallowed the first one."""
        if self.asked:
            raise Interrupted

    @contextmanager
    def by_signals(self) -> Iterator[None]:
        """Turns the first SIGINT, SIGTERM or SIGHUP into `Interrupted`; a second one ends the process at once.

        A SIGHUP that is ignored, as nohup does, stays ignored.

        Outside of the main thread, which alone gets signals, it does nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            previous[signal.SIGHUP] = signal.getsignal(signal.SIGHUP)

        def restore() -> None:
            for number, handler in previous.items():
                signal.signal(number, handler)

        def stop(number: int, frame: FrameType | None) -> None:
            self.asked = True
            restore()
            raise Interrupted

        for number in previous:
            signal.signal(number, stop)
        try:
            yield
        finally:
            restore()
