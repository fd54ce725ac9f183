"""The push directory of a run: whether the selected model must be pushed, and what a stopped push leaves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence

from pipeline.plan.node import PUSHER
from pipeline.plan.plan import Plan
from pipeline.run import cache
from pipeline.run.launcher import Launched, NodeHook
from pipeline.store.reader import Reader
from pipeline.store.records import Artifact, by_key
from pipeline.store.state import State


class Push(NodeHook):
    """Follows the Pusher of one run.

    Attributes:
        directory: Where it pushes to.
    """

    def __init__(self, plan: Plan, reader: Callable[[], Reader]):
        """Looks at nothing yet.

        Args:
            plan: Has the Pusher.
            reader: Opens the metadata store.
        """
        self.directory = cache.push_directory(plan.node(PUSHER))
        self._plan = plan
        self._reader = reader
        self._before: set[str] | None = None

    def before_node(self, node: str) -> None:
        if node == PUSHER:
            self._before = _versions(self.directory)

    def after_node(self, node: str, launched: Launched) -> None:
        if node == PUSHER and launched.state in (State.RAN, State.CACHED):
            self._before = None

    def is_current(self, selected: Sequence[Artifact]) -> bool:
        """Whether TFX's cache may answer for the Pusher.

        It may not if a push of the same model is recorded, and the pushed version is no longer the newest.
        """
        wanted = [model.id for model in selected]
        reader = self._reader()
        for execution in reader.executions_of_node(self._plan.name, PUSHER):
            edges = reader.edges_of_executions([execution.id])
            if execution.state is State.RAN and by_key(edges, output=False).get("model") == wanted:
                pushed = reader.outputs(execution.id).get("pushed_model", [])
                return bool(pushed) and cache.is_current_push(pushed[0], self.directory)
        return True

    def remove_unfinished(self) -> None:
        """Removes versions that this run's Pusher began and did not record; those of others stay."""
        if self._before is None:
            return
        reader = self._reader()
        ran = [e.id for e in reader.executions_of_node(self._plan.name, PUSHER) if e.state is State.RAN]
        pushed = reader.artifacts(edge.artifact for edge in reader.edges_of_executions(ran) if edge.output)
        recorded = {str(artifact.properties.get("pushed_version")) for artifact in pushed}
        for version in _versions(self.directory) - self._before - recorded:
            shutil.rmtree(os.path.join(self.directory, version), ignore_errors=True)


def _versions(directory: str) -> set[str]:
    try:
        return {name for name in os.listdir(directory) if name.isdecimal()}
    except OSError:
        return set()
