"""Follows a run's nodes, and records in ML Metadata how they went and what they made."""

from __future__ import annotations

import time
from collections.abc import Callable

from pipeline.plan.node import EXAMPLE_GENS
from pipeline.plan.plan import Plan
from pipeline.run.launcher import Launched, NodeHook
from pipeline.run.record import RunRecord
from pipeline.store.reader import Reader
from pipeline.store.records import Artifact
from pipeline.store.state import State


class Recording(NodeHook):
    """Writes a run's record node by node.

    Attributes:
        nodes: Node id → its outcome, of the nodes that ended, in order.
    """

    def __init__(self, plan: Plan, record: RunRecord, reader: Callable[[], Reader]):
        self.nodes: dict[str, Launched] = {}
        self._plan = plan
        self._record = record
        self._reader = reader
        self._began: dict[str, float] = {}

    def before_node(self, node: str) -> None:
        self._began[node] = time.time()
        self._record.node(node, State.RUNNING, 0.0, None)

    def after_node(self, node: str, launched: Launched) -> None:
        self.nodes[node] = launched
        execution = launched.execution
        if execution is None and launched.state is not State.SKIPPED:
            execution = self._execution_of_failure(node)
        self._record.node(node, launched.state, launched.seconds, execution)
        if launched.state is State.RAN:
            artifacts = [one for found in self.outputs(node, self._reader()).values() for one in found]
            self._record.outputs(artifacts)
            if node in EXAMPLE_GENS.values():
                self._record.examples(artifacts)

    def outputs(self, node: str, reader: Reader) -> dict[str, list[Artifact]]:
        """Output key → artifacts, of a node that ran or was cached; empty for other nodes."""
        launched = self.nodes.get(node)
        if launched is None or launched.execution is None:
            return {}
        return reader.outputs(launched.execution)

    def _execution_of_failure(self, node: str) -> int | None:
        """Id of the execution of a node that raised; None if TFX did not get as far as to make one."""
        for execution in self._reader().executions_of_node(self._plan.name, node)[:1]:
            if execution.started.timestamp() >= int(self._began[node] * 1000) / 1000:
                return execution.id
        return None
