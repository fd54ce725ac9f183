"""A whole metadata store in memory: who made what, who read it, in which run."""

from __future__ import annotations

import os
import platform
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from pipeline.store.metadata_store import properties
from pipeline.store.runs import Run, list_runs

# Databases take this many ids in a query without complaint.
_BATCH = 500

# TFX keeps a value artifact in a file of this name below the folder that it would else be.
_VALUE_FILE = "value"


@dataclass(frozen=True)
class Made:
    """One execution.

    Attributes:
        id: In the store.
        pipeline: Its name; empty where no node context tells.
        node: Id of its node; empty where no node context tells.
        type: TFX's name for it, whole.
        properties: Its parameters.
    """

    id: int
    pipeline: str
    node: str
    type: str
    properties: dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where TFX put an artifact: `<root>/<node>/<output key>/<execution id>`.

    Attributes:
        root: Of the pipeline.
        folder: The artifact's own.
        execution: Id of the execution that made it.
    """

    root: str
    folder: str
    execution: int


@dataclass
class Snapshot:
    """What a store held at one time.

    Attributes:
        runs: Newest first.
        hosts: Run id → the machine that it was on, where it said so.
        executions: Id → execution, of those that belong to a node or a run.
        run_of: Execution id → the run that it was part of.
        artifacts: Id → artifact (ml_metadata proto).
        types: Artifact type id → name.
        makers: Artifact id → (execution id, output key) of each execution that gives it as an output:
            the one that made it, and those that took it from the cache.
        linked: Execution id → ids of the artifacts that it read or gives.
    """

    runs: list[Run]
    hosts: dict[str, str] = field(default_factory=dict)
    executions: dict[int, Made] = field(default_factory=dict)
    run_of: dict[int, Run] = field(default_factory=dict)
    artifacts: dict[int, Any] = field(default_factory=dict)
    types: dict[int, str] = field(default_factory=dict)
    makers: dict[int, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    linked: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))

    def place(self, artifact_id: int) -> Place | None:
        """Where TFX put an artifact; None where it stands anywhere else, as imported ones do."""
        uri = self.artifacts[artifact_id].uri
        folder = os.path.dirname(uri) if os.path.basename(uri) == _VALUE_FILE else uri
        if not folder.startswith("/") or os.path.normpath(folder) != folder:
            return None
        for execution_id, key in self.makers.get(artifact_id, []):
            made = self.executions.get(execution_id)
            suffix = f"/{made.node}/{key}/{execution_id}" if made and made.node and key else "/"
            if folder.endswith(suffix) and folder != suffix:
                return Place(folder.removesuffix(suffix), folder, execution_id)
        return None

    def is_deleted(self, artifact_id: int) -> bool:
        """Whether an artifact is marked as deleted."""
        artifact = self.artifacts[artifact_id]
        return artifact.state == artifact.DELETED

    def made_in(self, artifact_id: int) -> Run | None:
        """The run that made an artifact: that of the first execution that gave it."""
        for execution, _ in sorted(self.makers.get(artifact_id, [])):
            if execution in self.run_of:
                return self.run_of[execution]
        return None

    def made_elsewhere(self, artifact_id: int) -> bool:
        """Whether an artifact was made on another machine, whose files cannot be seen from here."""
        run = self.made_in(artifact_id)
        host = self.hosts[run.id] if run else ""
        return bool(host) and host != platform.node()

    def upstream(self, artifact_ids: set[int]) -> set[int]:
        """Artifacts and all that they were made from, with the other outputs of each maker.

        An execution whose outputs are not all there is no use to a cache, and its report or blessing says
        what its model is worth: what an execution gave stays or goes together.
        """
        found = set(artifact_ids)
        seen: set[int] = set()
        waiting = list(artifact_ids)
        while waiting:
            for execution_id, _ in self.makers.get(waiting.pop(), []):
                if execution_id in seen:
                    continue
                seen.add(execution_id)
                fresh = self.linked[execution_id] - found
                found |= fresh
                waiting.extend(fresh)
        return found


def take(store: Any) -> Snapshot:
    """Reads a whole store.

    Args:
        store: ml_metadata's MetadataStore.
    """
    snapshot = Snapshot(runs=list_runs(store))
    for context in store.get_contexts_by_type("pipeline_run"):
        snapshot.hosts[context.name] = str(properties(context).get("host", ""))
    snapshot.artifacts = {artifact.id: artifact for artifact in store.get_artifacts()}
    snapshot.types = {kind.id: kind.name for kind in store.get_artifact_types()}
    _read_executions(store, snapshot)
    ids = sorted(snapshot.artifacts)
    for begin in range(0, len(ids), _BATCH):
        for event in store.get_events_by_artifact_ids(ids[begin : begin + _BATCH]):
            snapshot.linked[event.execution_id].add(event.artifact_id)
            if event.type not in (event.INPUT, event.DECLARED_INPUT, event.INTERNAL_INPUT):
                key = event.path.steps[0].key if event.path.steps else ""
                snapshot.makers[event.artifact_id].append((event.execution_id, key))
    return snapshot


def _read_executions(store: Any, snapshot: Snapshot) -> None:
    types = {kind.id: kind.name for kind in store.get_execution_types()}
    for context in store.get_contexts_by_type("node"):
        pipeline, _, node = context.name.rpartition(".")
        for execution in store.get_executions_by_context(context.id):
            snapshot.executions[execution.id] = Made(
                execution.id, pipeline, node, types[execution.type_id], properties(execution)
            )
    for run in snapshot.runs:
        for execution in store.get_executions_by_context(run.context_id):
            snapshot.run_of[execution.id] = run
            if execution.id not in snapshot.executions:
                snapshot.executions[execution.id] = Made(
                    execution.id, run.pipeline, "", types[execution.type_id], properties(execution)
                )
