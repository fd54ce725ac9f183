"""A whole metadata store in memory: who made what, who read it, in which run."""

from __future__ import annotations

import os
import platform
from collections import defaultdict
from dataclasses import dataclass, field

from pipeline.store.reader import Reader
from pipeline.store.records import Artifact, Execution, Run

# TFX keeps a value artifact in a file of this name below the folder that another artifact would be.
_VALUE_FILE = "value"


@dataclass(frozen=True)
class Place:
    """The place in which TFX put an artifact: `<root>/<node>/<output key>/<execution id>`.

    Attributes:
        root: The pipeline root.
        folder: The artifact's folder.
        execution: Id of the execution that made it.
    """

    root: str
    folder: str
    execution: int


@dataclass
class Snapshot:
    """The content of a store at one time.

    Attributes:
        runs: Newest first.
        executions: Id → execution, of those that belong to a node or a run.
        run_of: Execution id → the run that it was part of.
        artifacts: Id → artifact.
        makers: Artifact id → (execution id, output key) of each execution that gives it as an output:
            the one that made it, and those that took it from the cache.
        linked: Execution id → ids of the artifacts that it read or gives.
    """

    runs: list[Run]
    executions: dict[int, Execution] = field(default_factory=dict)
    run_of: dict[int, Run] = field(default_factory=dict)
    artifacts: dict[int, Artifact] = field(default_factory=dict)
    makers: dict[int, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    linked: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))

    def place(self, artifact_id: int) -> Place | None:
        """The place in which TFX put an artifact; None if it is anywhere else, as imported artifacts are."""
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

    def made_in(self, artifact_id: int) -> Run | None:
        """The run that made an artifact: that of the first execution that gave it."""
        for execution, _ in sorted(self.makers.get(artifact_id, [])):
            if execution in self.run_of:
                return self.run_of[execution]
        return None

    def made_elsewhere(self, artifact_id: int) -> bool:
        """Whether an artifact was made on another machine, whose files cannot be seen from here."""
        run = self.made_in(artifact_id)
        return run is not None and run.host not in ("", platform.node())

    def upstream(self, artifact_ids: set[int]) -> set[int]:
        """Artifacts and all that they were made from, with the other outputs of each maker.

        A cache cannot use an execution whose outputs are incomplete, and a report or blessing belongs to its model.
        So the outputs of an execution are kept or removed together.
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


def take(reader: Reader) -> Snapshot:
    """Reads a whole store."""
    snapshot = Snapshot(
        runs=reader.runs(),
        executions={execution.id: execution for execution in reader.executions_of_nodes()},
        artifacts={artifact.id: artifact for artifact in reader.all_artifacts()},
    )
    for run in snapshot.runs:
        for execution in reader.executions_of_run(run):
            snapshot.run_of[execution.id] = run
            snapshot.executions.setdefault(execution.id, execution)
    for edge in reader.edges_of_artifacts(snapshot.artifacts):
        snapshot.linked[edge.execution].add(edge.artifact)
        if edge.output:
            snapshot.makers[edge.artifact].append((edge.execution, edge.key))
    return snapshot
