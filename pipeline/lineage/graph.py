"""The lineage graph: what an artifact was made from, and what was made from it."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.store.reader import Reader
from pipeline.store.records import Artifact, Edge, Execution
from pipeline.store.state import State


@dataclass(frozen=True)
class Graph:
    """Executions and artifacts, and what read or made what.

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


def upstream(reader: Reader, artifact_ids: Iterable[int]) -> Graph:
    """Everything that artifacts were made from, back to artifacts without a producer in the store.

    Args:
        reader: Reader of the store.
        artifact_ids: Where to begin.

    Returns:
        The artifacts, the executions that made them, everything that those read, and so on.
    """
    walk = _Walk(reader)
    roots = tuple(dict.fromkeys(artifact_ids))
    waiting = set(roots)
    while waiting:
        walk.visited |= waiting
        edges = reader.edges_of_executions(walk.producers(waiting))
        walk.edges.update(edges)
        waiting = {edge.artifact for edge in edges if not edge.output} - walk.visited
    return walk.graph(roots)


def downstream(reader: Reader, artifact_ids: Iterable[int]) -> Graph:
    """Everything that was made from artifacts, directly and indirectly.

    Executions that failed or took their outputs from the cache made nothing and are left out.

    Args:
        reader: Reader of the store.
        artifact_ids: Where to begin.
    """
    walk = _Walk(reader)
    roots = tuple(dict.fromkeys(artifact_ids))
    waiting = set(roots)
    while waiting:
        walk.visited |= waiting
        edges = reader.edges_of_executions(walk.consumers(waiting))
        walk.edges.update(edges)
        waiting = {edge.artifact for edge in edges if edge.output} - walk.visited
    return walk.graph(roots)


class _Walk:
    """The records read from a store."""

    def __init__(self, reader: Reader):
        self.reader = reader
        self.visited: set[int] = set()
        self.edges: set[Edge] = set()
        self.artifacts: dict[int, Artifact] = {}
        self.executions: dict[int, Execution] = {}

    def read_artifacts(self, ids: Iterable[int]) -> list[Artifact]:
        wanted = set(ids)
        self.artifacts.update({a.id: a for a in self.reader.artifacts(wanted - set(self.artifacts))})
        return [self.artifacts[i] for i in sorted(wanted) if i in self.artifacts]

    def ran(self, ids: Iterable[int]) -> set[int]:
        """The given executions that ran; their ids may not exist."""
        wanted = set(ids)
        found = self.reader.executions(wanted - set(self.executions), State.RAN)
        self.executions.update({execution.id: execution for execution in found})
        return wanted & set(self.executions)

    def producers(self, artifact_ids: set[int]) -> set[int]:
        """Executions that made artifacts.

        Examples that thousands of cached runs have read have tens of thousands of events. TFX names the
        folder of an output by its execution, which the events of that one execution confirm. Only if they
        do not, all events of the artifact are read.
        """
        found: dict[int, int] = {}
        guesses = {
            artifact.id: int(name)
            for artifact in self.read_artifacts(artifact_ids)
            if (name := os.path.basename(artifact.uri.rstrip("/"))).isdecimal() and int(name) < 2**63
        }
        for edge in self.reader.edges_of_executions(self.ran(guesses.values())):
            if edge.output and guesses.get(edge.artifact) == edge.execution:
                found[edge.artifact] = edge.execution
        edges = self.reader.edges_of_artifacts(artifact_ids - set(found))
        made = [edge for edge in edges if edge.output]
        ran = self.ran(edge.execution for edge in made)
        for edge in made:
            if edge.execution in ran:
                found.setdefault(edge.artifact, edge.execution)
        return set(found.values())

    def consumers(self, artifact_ids: set[int]) -> set[int]:
        """Executions that read artifacts and made something from them."""
        edges = self.reader.edges_of_artifacts(artifact_ids)
        return self.ran(edge.execution for edge in edges if not edge.output)

    def graph(self, roots: tuple[int, ...]) -> Graph:
        artifacts = self.read_artifacts({edge.artifact for edge in self.edges} | set(roots))
        executions = sorted({edge.execution for edge in self.edges})
        return Graph(
            roots=tuple(root for root in roots if root in self.artifacts),
            artifacts={artifact.id: artifact for artifact in artifacts},
            executions={i: self.reader.located(self.executions[i]) for i in executions},
            edges=tuple(sorted(self.edges)),
        )
