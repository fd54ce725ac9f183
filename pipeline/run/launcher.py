"""Launches the nodes of a graph, each after the nodes that it reads from. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from components.common.base import progress
from components.common.base.errors import ParedownError, causes, reason_of
from components.common.base.interruption import Interrupted
from components.common.base.progress import Report
from pipeline.base.exit_code import EXIT_NODE_FAILED
from pipeline.run.interruption import Interruption
from pipeline.run.refused_write import RefusedWrite
from pipeline.store.state import State

# Node id → ids of the nodes that it reads from.
Graph = Mapping[str, Collection[str]]


@dataclass(frozen=True)
class Launched:
    """The outcome of a node.

    Attributes:
        state: RAN, CACHED, FAILED, INTERRUPTED, or SKIPPED if it was not launched.
        seconds: Wall-clock time.
        execution: Id of its execution in ML Metadata; None if it has none, or if it is not known.
    """

    state: State
    seconds: float
    execution: int | None = None


class NodeFailed(ParedownError):
    """A node failed; `node` is its id, and the exception that this one is raised from is the cause."""

    exit_code: ClassVar[int] = EXIT_NODE_FAILED

    def __init__(self, node: str, message: str):
        super().__init__(message)
        self.node = node

    def reason(self) -> str:
        """Why, in one line, as it is written for people; what the system refused, as that is said."""
        refused = next((cause for cause in causes(self) if isinstance(cause, RefusedWrite)), None)
        if refused is not None:
            return str(refused)
        return str(self) if self.__cause__ is None else reason_of(self.__cause__)


class NodeHook:
    """Is called around nodes. Each method does nothing unless a subclass says otherwise."""

    def before_node(self, node: str) -> None:
        """A node is about to be launched."""

    def on_progress(self, node: str, seconds: float, said: Report) -> None:
        """A node reports how far it is, some seconds after it began."""

    def after_node(self, node: str, launched: Launched) -> None:
        """A node ended, in whichever state, or was skipped."""


# Launches a node and returns its state and the id of its execution.
Launch = Callable[[str], tuple[State, int | None]]

# Decides what a failure means: returns the ids of the nodes to skip while the others run, or None to end the run.
Without = Callable[[NodeFailed], Collection[str] | None]


def ready(graph: Graph, done: Collection[str], begun: Collection[str] = ()) -> list[str]:
    """The nodes that can be launched now, in the order of the graph.

    Args:
        graph: All nodes.
        done: Nodes whose outputs are there.
        begun: Nodes that were launched and are not done.
    """
    return [
        node
        for node, sources in graph.items()
        if node not in done and node not in begun and all(source in done for source in sources)
    ]


@dataclass(frozen=True)
class SideBySide:
    """The rules by which nodes run at the same time, and how they are stopped.

    Attributes:
        most: Number of nodes that run at the same time. With 1, each is launched in the thread that calls `launch_all`.
        alone: Nodes that run while no other does; they are launched in the thread that calls `launch_all`, too.
        busy: Nodes that use more than one core. One of them and one of the others finish sooner side by side than two
            of a kind, so that those that are ready are taken by turns.
        turn: Is held while a node is launched and while hooks are called. `launch` gives it up while it waits for a
            node that is at work elsewhere; without that, nodes would not overlap.
        stop: Makes all calls of `launch` end soon. Is called if the run ends while other nodes are at work.
    """

    most: int = 1
    alone: Collection[str] = ()
    busy: Collection[str] = ()
    turn: threading.Lock = field(default_factory=threading.Lock)
    stop: Callable[[], None] = lambda: None


def launch_all(
    graph: Graph,
    launch: Launch,
    hooks: Sequence[NodeHook],
    interruption: Interruption,
    without: Without = lambda error: None,
    together: SideBySide | None = None,
) -> None:
    """Launches all nodes of a graph, until one fails that the others cannot go on without.

    Args:
        graph: The nodes; of those that are ready the first ones come first.
        launch: Launches a node.
        hooks: Are called in their order, around each node. Only `on_progress` may be called by several threads at once.
        interruption: Is looked at before and after each node.
        without: Is asked after a failure. A node that is neither failed nor skipped runs even if nodes that it reads
            from are.
        together: Which nodes run at the same time; one at a time by default.

    Raises:
        NodeFailed: If a node fails and `without` does not say how to go on.
        Interrupted: If a signal asked to stop. In both cases no node is at work any more.
        ValueError: If nodes read from each other in a circle, or from a node that is not in the graph.
    """
    _Launching(graph, launch, hooks, interruption, without, together or SideBySide()).run()


class _Launching:
    """The nodes of a run that are done, and those that are at work, each in a thread."""

    def __init__(
        self,
        graph: Graph,
        launch: Launch,
        hooks: Sequence[NodeHook],
        interruption: Interruption,
        without: Without,
        together: SideBySide,
    ):
        self._graph = graph
        self._launch = launch
        self._hooks = hooks
        self._interruption = interruption
        self._without = without
        self._together = together
        self._done: list[str] = []
        self._at_work: dict[str, threading.Thread | None] = {}
        self._ended: queue.SimpleQueue[tuple[str, BaseException | None]] = queue.SimpleQueue()
        self._stopping = False

    def run(self) -> None:
        try:
            while len(self._done) < len(self._graph):
                self._begin()
                if not self._at_work:
                    rest = ", ".join(sorted(set(self._graph) - set(self._done)))
                    raise ValueError(f"no node makes the inputs of: {rest}")
                node, error = self._ended.get()
                del self._at_work[node]
                self._done.append(node)
                if error is not None:
                    self._go_on_after(node, error)
        except BaseException:
            self._stop()
            raise

    def _begin(self) -> None:
        """Launches what is ready, as far as there is room."""
        while (node := self._next()) is not None:
            if self._is_alone(node):
                self._at_work[node] = None
                self._work(node)
                return
            thread = threading.Thread(target=self._work, args=(node,), name=node, daemon=True)
            self._at_work[node] = thread
            thread.start()

    def _next(self) -> str | None:
        """The node to launch now; None if there is none, or it waits for the end of those that are at work."""
        nodes = ready(self._graph, self._done, self._at_work)
        if not nodes or len(self._at_work) >= self._together.most:
            return None
        node = nodes[0]
        if not self._is_alone(node):
            busy = self._together.busy
            is_busy = any(other in busy for other in self._at_work)
            node = next((other for other in nodes if (other in busy) != is_busy), node)
        # A node that is ready later does not overtake one that must run alone, which would wait forever.
        return None if self._at_work and self._is_alone(node) else node

    def _is_alone(self, node: str) -> bool:
        return self._together.most == 1 or node in self._together.alone

    def _work(self, node: str) -> None:
        """Launches a node and waits for its end."""
        error: BaseException | None = None
        try:
            with self._together.turn:
                if not self._stopping:
                    _launch_one(node, self._launch, self._hooks, self._interruption)
        except BaseException as raised:
            error = raised
        self._ended.put((node, error))

    def _go_on_after(self, node: str, error: BaseException) -> None:
        """Skips what cannot run after a failure; raises it if the run ends."""
        if not isinstance(error, ParedownError):
            raise error
        # A hook may fail, too, if the store is full or away.
        failed = error if isinstance(error, NodeFailed) else NodeFailed(node, str(error))
        if failed is not error:
            failed.__cause__ = error
        with self._together.turn:
            skipped = self._without(failed)
            if skipped is None:
                raise failed from failed.__cause__
            for other in self._graph:
                if other in skipped and other not in self._done and other not in self._at_work:
                    self._done.append(other)
                    for hook in self._hooks:
                        hook.after_node(other, Launched(State.SKIPPED, 0.0))

    def _stop(self) -> None:
        """Ends the nodes that are at work."""
        self._stopping = True
        threads = [thread for thread in self._at_work.values() if thread is not None and thread.ident]
        if any(thread.is_alive() for thread in threads):
            self._together.stop()
        for thread in threads:
            thread.join()


def _launch_one(node: str, launch: Launch, hooks: Sequence[NodeHook], interruption: Interruption) -> None:
    interruption.check()
    for hook in hooks:
        hook.before_node(node)
    start = time.monotonic()

    def report(said: Report) -> None:
        for hook in hooks:
            hook.on_progress(node, time.monotonic() - start, said)

    def end(state: State, execution: int | None = None) -> None:
        launched = Launched(state, time.monotonic() - start, execution)
        for hook in hooks:
            hook.after_node(node, launched)

    try:
        with progress.listening(report):
            state, execution = launch(node)
    except BaseException as error:
        stopped = interruption.asked or isinstance(error, (Interrupted, KeyboardInterrupt))
        with contextlib.suppress(ParedownError):  # of a full store, which must not hide what happened first
            end(State.INTERRUPTED if stopped else State.FAILED)
        interruption.check()
        if isinstance(error, Interrupted) or not isinstance(error, Exception):
            raise
        raise NodeFailed(node, str(error)) from error
    end(State.INTERRUPTED if interruption.asked else state, execution)
    interruption.check()
    if state not in (State.RAN, State.CACHED):
        raise NodeFailed(node, "its inputs were not found in the metadata store")
