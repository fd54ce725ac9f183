"""A process that forks others, each of which does one piece of work and ends.

It is forked itself when everything that the work needs is imported, and before any of it was used: TensorFlow can no
longer be forked once it has executed an operation. So each piece of work begins with the same state, whatever was
done before, and nothing is imported twice.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NoReturn

from components.common.base.errors import ParedownError
from pipeline.base.process import descendants, end_with

Main = Callable[[Connection], None]

_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STATUS_BYTES = 4
# oom_score_adj, of 1000. If memory runs out, the system ends one of these processes rather than the run (`man 5 proc`).
_MEMORY_SCORE = "300"


class ProcessEnded(ParedownError):
    """A process ended before its work was done; the message says how."""


class Forked:
    """A process that the server forked.

    Attributes:
        pid: Its id.
    """

    def __init__(self, pid: int, connection: Connection, status: int):
        """Takes over a process.

        Args:
            pid: Its id.
            connection: To it.
            status: Descriptor of a pipe that gets its status when it ends.
        """
        self.pid = pid
        self._connection = connection
        self._status = status
        self._ended = False
        self._closing = threading.Lock()

    def send(self, message: object) -> None:
        """Sends it something, unless it has ended: `receive` then says so."""
        with contextlib.suppress(OSError):
            self._connection.send(message)

    def receive(self) -> Any:
        """The next message of the process.

        Raises:
            ProcessEnded: If it has ended.
        """
        wait([self._connection, self._status])
        with contextlib.suppress(EOFError, OSError):
            if self._connection.poll():
                return self._connection.recv()
        self._ended = True
        raise ProcessEnded(_how_it_ended(os.read(self._status, _STATUS_BYTES)))

    def terminate(self) -> None:
        """Asks it to end, also if it is paused."""
        self._signal(signal.SIGTERM, signal.SIGCONT)

    def kill(self) -> None:
        """Ends it."""
        self._signal(signal.SIGKILL)

    def close(self, patience: float) -> None:
        """Waits for its end; kills it after some seconds."""
        self._connection.close()
        if not self._ended and not wait([self._status], patience):
            self.kill()
            wait([self._status])
        with self._closing:
            self._ended = True
            os.close(self._status)

    def _signal(self, *numbers: int) -> None:
        with self._closing:
            # Once it has ended, its id may be another's.
            if not self._ended and not wait([self._status], 0):
                # The server has seen its end before it has reported it.
                with contextlib.suppress(ProcessLookupError):
                    for number in numbers:
                        os.kill(self.pid, number)


class ForkServer:
    """The server. It ends with this process, and what it forked ends with it, also if this process is killed."""

    def __init__(self, main: Main):
        """Forks the server.

        Args:
            main: Called in each process that the server forks.
        """
        self._socket, theirs = socket.socketpair()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            self._socket.close()
            _serve(theirs, main, parent)
        theirs.close()

    def fork(self) -> Forked:
        """A new process, in which `main` runs.

        Raises:
            ProcessEnded: If the server has ended, or cannot fork.
        """
        ours, theirs = socket.socketpair()
        status, written = os.pipe()
        try:
            socket.send_fds(self._socket, [b"f"], [theirs.fileno(), written])
            answer = self._socket.recv(16)
        except OSError:
            answer = b""
        finally:
            theirs.close()
            os.close(written)
        pid = int(answer or b"0")
        if pid <= 0:
            ours.close()
            os.close(status)
            why = os.strerror(-pid) if pid else "the server that starts them has ended"
            raise ProcessEnded(f"no process could be started: {why}; free memory and run again")
        return Forked(pid, Connection(ours.detach()), status)

    def descendants(self) -> set[int]:
        """Ids of the processes that the server forked, and of those that they started."""
        return descendants(self.pid)

    def close(self) -> None:
        """Ends the server."""
        self._socket.close()
        os.waitpid(self.pid, 0)


def _serve(requests: socket.socket, main: Main, parent: int) -> NoReturn:
    """Forks until the other end of the socket is closed."""
    try:
        os.setsid()  # Ctrl-C is for the parent
        end_with(parent)
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        for ignored in _IGNORED:
            signal.signal(ignored, signal.SIG_IGN)
        gc.freeze()  # a look at all objects would copy them
        _Forking(requests, main).run()
    finally:
        os._exit(0)


class _Forking:
    """The server's side: the processes that have not ended, each with the pipe that its end is written to."""

    def __init__(self, requests: socket.socket, main: Main):
        self._requests = requests
        self._main = main
        self._pid = os.getpid()
        self._statuses: dict[int, int] = {}

    def run(self) -> None:
        signal.signal(signal.SIGCHLD, lambda number, frame: self._report_ended())
        while True:
            request, descriptors, _, _ = socket.recv_fds(self._requests, 1, 2)
            if not request:
                return
            connection, status = descriptors
            blocked = {signal.SIGCHLD, signal.SIGTERM}
            signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
            try:
                pid = os.fork()
            except OSError as error:
                pid = -(error.errno or 1)
            if pid == 0:
                self._requests.close()
                for descriptor in (status, *self._statuses.values()):
                    os.close(descriptor)
                for number in (signal.SIGCHLD, signal.SIGTERM):
                    signal.signal(number, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
                _do(self._main, Connection(connection), self._pid)
            os.close(connection)
            if pid > 0:
                self._statuses[pid] = status
            else:
                os.close(status)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
            self._requests.send(str(pid).encode())

    def _report_ended(self) -> None:
        while self._statuses:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            pipe = self._statuses.pop(pid)
            os.write(pipe, status.to_bytes(_STATUS_BYTES, "little"))
            os.close(pipe)


def _do(main: Main, connection: Connection, server: int) -> NoReturn:
    """Runs `main` in the process that was just forked."""
    code = 1
    try:
        os.setsid()
        end_with(server)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(_MEMORY_SCORE, encoding="ascii")
        main(connection)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _how_it_ended(status: bytes) -> str:
    if not status:
        return "its process has ended, and so has the one that started it; run again"
    code = os.waitstatus_to_exitcode(int.from_bytes(status, "little"))
    if code == -signal.SIGKILL:
        return (
            "its process was killed (SIGKILL), as the system does if memory runs out; free memory or set "
            "run.parallel: 1, and run again"
        )
    if code < 0:
        return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process ended with exit code {code} before its work was done"
