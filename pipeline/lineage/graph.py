"""The lineage graph: what an artifact was made from, and what was made from it.

Walks events, which every ml-metadata has; `get_lineage_subgraph` is missing in builds without ZetaSQL.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from pipeline.store.metadata_store import is_live, properties

# ml_metadata's Execution.State, in words.
_STATES = {1: "new", 2: "running", 3: "complete", 4: "failed", 5: "cached", 6: "canceled"}

# Custom properties by which `pipeline.run.record` marks executions: pipeline, node and run.
MARKS = ("paredown_pipeline", "paredown_node", "paredown_run")

# Databases take this many ids in a query without complaint.
_BATCH = 500


@dataclass(frozen=True)
class Artifact:
    """Something that a node made.

    Attributes:
        id: In the store.
        type: E.g. `Model`.
        uri: Its folder.
        live: Whether it is whole and its folder is still there.
        properties: Properties and custom properties.
    """

    id: int
    type: str
    uri: str
    live: bool
    properties: dict[str, Any]


@dataclass(frozen=True)
class Execution:
    """One execution of a node.

    Attributes:
        id: In the store.
        type: Last part of TFX's name for it, e.g. `Pruner`.
        node: Id of the node; empty where the store does not tell.
        pipeline: Name of the pipeline.
        runs: Ids of the runs that it was part of.
        state: `complete`, `cached`, `failed`, `running`, `new` or `canceled`.
        properties: Its parameters.
        started: In UTC.
        finished: In UTC, where it has ended.
    """

    id: int
    type: str
    node: str
    pipeline: str
    runs: tuple[str, ...]
    state: str
    properties: dict[str, Any]
    started: datetime
    finished: datetime | None


@dataclass(frozen=True, order=True)
class Edge:
    """An artifact as an input or output of an execution."""

    execution: int
    artifact: int
    key: str
    output: bool


@dataclass(frozen=True)
class Graph:
    """Executions and artifacts, and how they hang together.

    Attributes:
        roots: Ids of the artifacts that were asked about.
        artifacts: Id → artifact.
        executions: Id → execution.
        edges: Sorted.
    """

    roots: tuple[int, ...]
    artifacts: dict[int, Artifact]
    executions: dict[int, Execution]
    edges: tuple[Edge, ...]

    def producer(self, artifact_id: int) -> Execution | None:
        """The execution that made an artifact."""
        made = self._by_artifact[1].get(artifact_id)
        return self.executions[made[0].execution] if made else None

    def consumers(self, artifact_id: int) -> list[Execution]:
        """The executions that read an artifact, oldest first."""
        ids = {edge.execution for edge in self._by_artifact[0].get(artifact_id, [])}
        return [self.executions[execution] for execution in sorted(ids)]

    def inputs(self, execution_id: int) -> dict[str, list[Artifact]]:
        """Input key → artifacts."""
        return self._side(execution_id, output=False)

    def outputs(self, execution_id: int) -> dict[str, list[Artifact]]:
        """Output key → artifacts."""
        return self._side(execution_id, output=True)

    def _side(self, execution_id: int, output: bool) -> dict[str, list[Artifact]]:
        found: dict[str, list[Artifact]] = {}
        for edge in self._by_execution[output].get(execution_id, []):
            found.setdefault(edge.key, []).append(self.artifacts[edge.artifact])
        return found

    @functools.cached_property
    def _by_artifact(self) -> tuple[dict[int, list[Edge]], dict[int, list[Edge]]]:
        return self._index("artifact")

    @functools.cached_property
    def _by_execution(self) -> tuple[dict[int, list[Edge]], dict[int, list[Edge]]]:
        return self._index("execution")

    def _index(self, end: str) -> tuple[dict[int, list[Edge]], dict[int, list[Edge]]]:
        """Edges by one of their ends: those of inputs, those of outputs."""
        found: tuple[dict[int, list[Edge]], dict[int, list[Edge]]] = ({}, {})
        for edge in self.edges:
            found[edge.output].setdefault(getattr(edge, end), []).append(edge)
        return found


def upstream(store: Any, artifact_ids: Iterable[int]) -> Graph:
    """What artifacts were made from, back to what nothing in the store made.

    Args:
        store: ml_metadata's MetadataStore.
        artifact_ids: Where to begin.

    Returns:
        The artifacts, the executions that made them, all that those read, and so on.
    """
    walk = _Walk(store)
    roots = tuple(dict.fromkeys(artifact_ids))
    waiting = set(roots)
    while waiting:
        walk.visited |= waiting
        edges = walk.edges_of_executions(walk.producers(waiting))
        walk.keep(edges)
        waiting = {edge.artifact for edge in edges if not edge.output} - walk.visited
    return walk.graph(roots)


def downstream(store: Any, artifact_ids: Iterable[int]) -> Graph:
    """What was made from artifacts, and from that, to the end.

    Executions that failed or took their outputs from the cache made nothing and are left out.

    Args:
        store: ml_metadata's MetadataStore.
        artifact_ids: Where to begin.
    """
    walk = _Walk(store)
    roots = tuple(dict.fromkeys(artifact_ids))
    waiting = set(roots)
    while waiting:
        walk.visited |= waiting
        edges = walk.edges_of_executions(walk.complete_consumers(waiting))
        walk.keep(edges)
        waiting = {edge.artifact for edge in edges if edge.output} - walk.visited
    return walk.graph(roots)


class _Walk:
    """What has been read of a store."""

    def __init__(self, store: Any):
        self.store = store
        self.visited: set[int] = set()
        self.edges: set[Edge] = set()
        self.protos: dict[int, Any] = {}
        self.artifacts: dict[int, Any] = {}
        self.context_types: dict[int, str] | None = None

    def keep(self, edges: list[Edge]) -> None:
        self.edges.update(edges)

    def read_executions(self, ids: Iterable[int]) -> list[Any]:
        """Executions of ids that may not exist."""
        wanted = set(ids)
        for batch in _batches(wanted - set(self.protos)):
            self.protos.update({e.id: e for e in self.store.get_executions_by_id(batch)})
        return [self.protos[i] for i in sorted(wanted) if i in self.protos]

    def read_artifacts(self, ids: Iterable[int]) -> list[Any]:
        wanted = set(ids)
        for batch in _batches(wanted - set(self.artifacts)):
            self.artifacts.update({a.id: a for a in self.store.get_artifacts_by_id(batch)})
        return [self.artifacts[i] for i in sorted(wanted) if i in self.artifacts]

    def producers(self, artifact_ids: set[int]) -> set[int]:
        """Executions that made artifacts.

        Examples that thousands of cached runs have read have tens of thousands of events. TFX names
        the folder of an output by its execution, which events of that one execution confirm; only where
        they do not are all of the artifact's read.
        """
        found: dict[int, int] = {}
        guesses = {
            artifact.id: int(name)
            for artifact in self.read_artifacts(artifact_ids)
            if (name := os.path.basename(artifact.uri.rstrip("/"))).isdigit()
        }
        complete = {
            e.id for e in self.read_executions(guesses.values()) if e.last_known_state == e.COMPLETE
        }
        for edge in self.edges_of_executions(complete):
            if edge.output and guesses.get(edge.artifact) == edge.execution:
                found[edge.artifact] = edge.execution
        events = [
            event
            for batch in _batches(artifact_ids - set(found))
            for event in self.store.get_events_by_artifact_ids(batch)
            if event.type == event.OUTPUT
        ]
        made = self.read_executions(event.execution_id for event in events)
        complete = {e.id for e in made if e.last_known_state == e.COMPLETE}
        for event in events:
            if event.execution_id in complete:
                found.setdefault(event.artifact_id, event.execution_id)
        return set(found.values())

    def complete_consumers(self, artifact_ids: set[int]) -> set[int]:
        ids = {
            event.execution_id
            for batch in _batches(artifact_ids)
            for event in self.store.get_events_by_artifact_ids(batch)
            if event.type == event.INPUT
        }
        return {e.id for e in self.read_executions(ids) if e.last_known_state == e.COMPLETE}

    def edges_of_executions(self, execution_ids: set[int]) -> list[Edge]:
        return [
            Edge(
                event.execution_id,
                event.artifact_id,
                event.path.steps[0].key if event.path.steps else "",
                event.type == event.OUTPUT,
            )
            for batch in _batches(execution_ids)
            for event in self.store.get_events_by_execution_ids(batch)
        ]

    def graph(self, roots: tuple[int, ...]) -> Graph:
        ids = {edge.artifact for edge in self.edges} | set(roots)
        artifact_types = {kind.id: kind.name for kind in self.store.get_artifact_types()}
        artifacts = {
            proto.id: Artifact(
                proto.id, artifact_types[proto.type_id], proto.uri, is_live(proto), properties(proto)
            )
            for proto in self.read_artifacts(ids)
        }
        return Graph(
            roots=tuple(root for root in roots if root in artifacts),
            artifacts=artifacts,
            executions=self._executions(),
            edges=tuple(sorted(self.edges)),
        )

    def _executions(self) -> dict[int, Execution]:
        types = {kind.id: kind.name for kind in self.store.get_execution_types()}
        found = {}
        for proto in self.read_executions(edge.execution for edge in self.edges):
            facts = properties(proto)
            marks = [str(facts.pop(name, "")) for name in MARKS]
            pipeline, node, run = marks if all(marks) else self._marks_of_contexts(proto.id)
            running = proto.last_known_state in (proto.NEW, proto.RUNNING)
            found[proto.id] = Execution(
                id=proto.id,
                type=types[proto.type_id].rpartition(".")[2],
                node=node,
                pipeline=pipeline,
                runs=(run,) if run else (),
                state=_STATES.get(proto.last_known_state, "unknown"),
                properties=facts,
                started=_from_epoch(proto.create_time_since_epoch),
                finished=None if running else _from_epoch(proto.last_update_time_since_epoch),
            )
        return found

    def _marks_of_contexts(self, execution_id: int) -> tuple[str, str, str]:
        """Pipeline, node and run of an execution that Paredown did not mark, by TFX's contexts."""
        if self.context_types is None:
            self.context_types = {kind.id: kind.name for kind in self.store.get_context_types()}
        names: dict[str, str] = {}
        for context in self.store.get_contexts_by_execution(execution_id):
            names.setdefault(self.context_types[context.type_id], context.name)
        pipeline = names.get("pipeline", "")
        node = names.get("node", "").removeprefix(f"{pipeline}.")
        return pipeline, node, names.get("pipeline_run", "")


def _batches(ids: Iterable[int]) -> list[list[int]]:
    ordered = sorted(ids)
    return [ordered[start : start + _BATCH] for start in range(0, len(ordered), _BATCH)]


def _from_epoch(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
