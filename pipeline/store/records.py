"""The content of a metadata store: runs, executions of their nodes, artifacts, and their inputs and outputs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from pipeline.store.state import State


@dataclass(frozen=True)
class Artifact:
    """Something that a node made.

    Attributes:
        id: In the store.
        type: E.g. `Model`.
        uri: Its folder.
        live: Whether it is complete and its folder still exists.
        properties: Properties and custom properties.
        deleted: Whether the store has it marked as deleted.
    """

    id: int
    type: str
    uri: str
    live: bool
    properties: dict[str, Any]
    deleted: bool = False


@dataclass(frozen=True)
class Execution:
    """One execution of a node.

    Attributes:
        id: In the store.
        type: Last part of TFX's name of the component, e.g. `Pruner`.
        node: Id of the node; empty if the store does not say.
        pipeline: Name of the pipeline; empty if the store does not say.
        runs: Ids of the runs that it was part of.
        state: How it went.
        properties: Its parameters.
        started: In UTC.
        finished: In UTC; None while it is running.
        component: TFX's whole name of the component, e.g. `components.pruner.component.Pruner`.
    """

    id: int
    type: str
    node: str
    pipeline: str
    runs: tuple[str, ...]
    state: State
    properties: dict[str, Any]
    started: datetime
    finished: datetime | None
    component: str = ""


@dataclass(frozen=True, order=True)
class Edge:
    """An artifact as an input or output of an execution."""

    execution: int
    artifact: int
    key: str
    output: bool


def by_key(edges: Iterable[Edge], output: bool) -> dict[str, list[int]]:
    """Key → ids of artifacts, of the inputs or the outputs among edges, in their order."""
    found: dict[str, list[int]] = {}
    for edge in edges:
        if edge.output == output:
            found.setdefault(edge.key, []).append(edge.artifact)
    return found


def decoded(value: Any) -> Any:
    """A parameter with texts that hold JSON objects or lists decoded, at every depth."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return decoded(json.loads(value))
        except ValueError:
            return value
    if isinstance(value, dict):
        return {key: decoded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decoded(item) for item in value]
    return value


@dataclass(frozen=True)
class NodeRun:
    """A run's record of one of its nodes.

    Attributes:
        state: How it went.
        seconds: Wall-clock time.
        execution: Id of its execution in the store; None if it never got one.
    """

    state: State
    seconds: float
    execution: int | None


@dataclass(frozen=True)
class NodeFailure:
    """A node that failed while the run went on without the candidates that need it.

    Attributes:
        node: Its id.
        candidates: Those that need it.
        reason: The first cause, in one line.
        traceback: File with the traceback.
    """

    node: str
    candidates: tuple[str, ...]
    reason: str
    traceback: str


class FailureCause(str, Enum):
    """The cause of the end of a run that is not the fault of the node at which it ended."""

    CHANGED_FILE = "changed_file"
    REFUSED_WRITE = "refused_write"


@dataclass(frozen=True)
class Run:
    """A run of a pipeline.

    Attributes:
        id: Name of its context in ML Metadata: the local time at which it began.
        pipeline: Name of the config.
        context_id: Id of its context.
        started: In UTC.
        finished: In UTC; None if it did not record an end.
        status: One of RUN_STATES.
        recorded: Whether Paredown left a record. If it did not (an older run, another tool's), only what
            its executions show is known, and texts are empty.
        host: The machine that it ran on; empty if it was not recorded.
        directory: The working directory, which relative paths went by; empty if it was not recorded.
        winner: The selected candidate; None if there is none.
        pushed: Folder of the version that was pushed at the end, by this run or before.
        pushed_now: Whether this run pushed it.
        search_hash: SHA-256 of the document about the search that it is part of; empty if it is not.
        ran, cached, failed: Numbers of nodes.
        failed_node: The node at which the run ended.
        cause: What ended it, if that is known and not the node itself.
        nodes: Node id → how it went, in order; empty if nothing was recorded.
        failures: Nodes that failed without ending the run, in order.
    """

    id: str
    pipeline: str
    context_id: int
    started: datetime
    finished: datetime | None
    status: State
    recorded: bool = True
    host: str = ""
    config_path: str = ""
    directory: str = ""
    config_hash: str = ""
    environment_hash: str = ""
    data_hash: str = ""
    search_hash: str = ""
    git_commit: str = ""
    git_dirty: bool = False
    seed: int | None = None
    version: str = ""
    winner: str | None = None
    pushed: str | None = None
    pushed_now: bool = False
    ran: int = 0
    cached: int = 0
    failed: int = 0
    failed_node: str | None = None
    reason: str = ""
    cause: FailureCause | None = None
    exit_code: int | None = None
    nodes: dict[str, NodeRun] = field(default_factory=dict)
    failures: tuple[NodeFailure, ...] = ()
