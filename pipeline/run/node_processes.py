"""The processes of nodes that run side by side, seen from the process of the run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from components.common.base import progress
from components.common.base.interruption import Interrupted
from components.common.base.progress import Report
from pipeline.base.process import descendants, paused
from pipeline.run.fork_server import Forked, ForkServer, ProcessEnded
from pipeline.run.launcher import SideBySide
from pipeline.run.node_process import Alone, Done, Failed, Message, Order

# Seconds that a process gets to remove what it has half written.
_GRACE = 5.0
_POLL = 0.05


class NodeProcesses:
    """Does each node's work in a separate process, while the process of the run does what concerns the store.

    What is timed is timed alone: all other processes are paused for its length, and this one does nothing either,
    because it needs the turn for it. Pausing does not wait, as a lock would that is held for the length of a training,
    and no result depends on it.
    """

    def __init__(self, server: ForkServer, most: int, log: Path):
        """Starts nothing yet.

        Args:
            server: Forks the processes; they run `node_process.main`.
            most: Number of processes at the same time.
            log: File for what libraries print.
        """
        self._server = server
        self._most = most
        self._log = log
        self._turn = threading.Lock()
        self._at_work: set[Forked] = set()
        self._stopped = False

    def side_by_side(self, alone: Collection[str] = (), busy: Collection[str] = ()) -> SideBySide:
        """How to launch nodes whose work is done here.

        Args:
            alone: Ids of nodes that run while no other does.
            busy: Ids of nodes that use more than one core.
        """
        return SideBySide(self._most, alone, busy, self._turn, self.stop)

    def do(self, node: str, work: Callable[[Any], Any], argument: Any) -> Any:
        """Calls a function in a new process. Call it with the turn, which it gives up until the function returns.

        Args:
            node: Whose work it is.
            work: Function of a module.
            argument: Its argument.

        Returns:
            What it returns.

        Raises:
            Interrupted: If all work was stopped.
            ProcessEnded: If the process ended, for example because memory ran out.
            BaseException: What the function raises.
        """
        if self._stopped:
            raise Interrupted
        process = self._server.fork()
        self._at_work.add(process)
        self._turn.release()
        try:
            result = self._result(process, Order(node, self._log, work, argument))
        except BaseException:
            process.terminate()
            raise
        finally:
            self._at_work.discard(process)
            process.close(_GRACE)
            self._turn.acquire()
        if isinstance(result, Done):
            return result.result
        error = result.error.error()
        if isinstance(error, Interrupted):
            raise ProcessEnded("its process was asked to end by SIGTERM; run again")
        raise error

    def stop(self) -> None:
        """Ends all processes: after some seconds also those that do not end when they are asked to."""
        self._stopped = True
        until = time.monotonic() + _GRACE
        asked: set[Forked] = set()
        while at_work := set(self._at_work):
            for process in at_work - asked:
                process.terminate()
            asked |= at_work
            if time.monotonic() > until:
                for process in at_work:
                    process.kill()
            time.sleep(_POLL)

    def _result(self, process: Forked, order: Order) -> Done | Failed:
        try:
            process.send(order)
            while True:
                message: Message = process.receive()
                if isinstance(message, Report):
                    progress.pass_on(message)
                elif isinstance(message, Alone):
                    self._leave_alone(process)
                elif isinstance(message, Failed) and self._stopped:
                    raise Interrupted
                else:
                    return message
        except ProcessEnded:
            if self._stopped:
                raise Interrupted from None
            raise

    def _leave_alone(self, process: Forked) -> None:
        """Pauses everything else until a process sends that it may go on."""
        with self._turn, paused(lambda: self._server.descendants() - self._tree(process)):
            process.send(None)
            while isinstance(message := process.receive(), Report):
                progress.pass_on(message)
        assert isinstance(message, Alone)

    @staticmethod
    def _tree(process: Forked) -> set[int]:
        return {process.pid, *descendants(process.pid)}
