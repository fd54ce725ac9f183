"""Nodes that fail, and what a run does without them."""

from __future__ import annotations

from collections.abc import Callable

from components.common.base.errors import causes
from components.common.base.file_hashes import ChangedFile
from pipeline.config.metadata_url import StoreError
from pipeline.plan.plan import Plan
from pipeline.run.launcher import NodeFailed
from pipeline.run.refused_write import RefusedWrite, find
from pipeline.store.records import NodeFailure

_OF_THE_MACHINE = (ChangedFile, StoreError, MemoryError, RefusedWrite)


class Failures:
    """A failing node fails the candidates that need it; the others go on.

    The run ends if all candidates need the node or have failed before, or if the cause is not the candidate's: a file
    that changed, a store that went away, a full disk.

    Attributes:
        found: The failures that did not end the run.
    """

    def __init__(self, plan: Plan, report: Callable[[NodeFailed, tuple[str, ...]], NodeFailure]):
        """Nothing has failed yet.

        Args:
            plan: What runs.
            report: Called with a failure that does not end the run, and the candidates that fail by it.
        """
        self.found: list[NodeFailure] = []
        self._plan = plan
        self._report = report
        self._failed: set[str] = set()

    def without(self, error: NodeFailed) -> set[str] | None:
        """Ids of the nodes that only failed candidates need; None if the run ends."""
        users = self._plan.node(error.node).candidates
        failed = self._failed.union(users)
        if not users or error.node == self._plan.baseline or failed.issuperset(self._plan.models):
            return None
        # No other node could write or read either.
        if any(isinstance(cause, _OF_THE_MACHINE) for cause in causes(error)) or find(error, ""):
            return None
        self.found.append(self._report(error, tuple(name for name in users if name not in self._failed)))
        self._failed = failed
        return {
            node.id
            for node in self._plan.nodes
            if node.candidates and failed.issuperset(node.candidates) and node.id != self._plan.baseline
        }
