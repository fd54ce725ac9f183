"""Launches the nodes of a graph, each after the nodes that it reads from. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
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
    """What became of a node.

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


def launch_all(
    graph: Graph,
    launch: Launch,
    hooks: Sequence[NodeHook],
    interruption: Interruption,
    without: Without = lambda error: None,
) -> None:
    """Launches all nodes of a graph, one at a time, until one fails that the others cannot go on without.

    Args:
        graph: The nodes; of those that are ready the first one comes first.
        launch: Launches a node.
        hooks: Are called in their order, around each node.
        interruption: Is looked at before and after each node.
        without: Is asked after a failure. A node that is neither failed nor skipped runs even if nodes that it reads
            from are.

    Raises:
        NodeFailed: If a node fails and `without` does not say how to go on.
        Interrupted: If somebody asked to stop.
        ValueError: If nodes read from each other in a circle, or from a node that is not in the graph.
    """
    done: list[str] = []
    while len(done) < len(graph):
        nodes = ready(graph, done)
        if not nodes:
            raise ValueError(
                f"nothing makes what these nodes read: {', '.join(sorted(set(graph) - set(done)))}"
            )
        done.append(nodes[0])
        try:
            _launch_one(nodes[0], launch, hooks, interruption)
        except ParedownError as refused:
            # A hook may fail, too, if the store is full or away.
            error = refused if isinstance(refused, NodeFailed) else NodeFailed(nodes[0], str(refused))
            if error is not refused:
                error.__cause__ = refused
            skipped = without(error)
            if skipped is None:
                raise error from error.__cause__
            for node in graph:
                if node in skipped and node not in done:
                    done.append(node)
                    for hook in hooks:
                        hook.after_node(node, Launched(State.SKIPPED, 0.0))


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
