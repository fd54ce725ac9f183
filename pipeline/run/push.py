"""The push directory of a run: what a push leaves that is stopped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

from components.pusher import version_folder
from pipeline.plan.node import PUSHER
from pipeline.plan.plan import Plan
from pipeline.run import cache
from pipeline.run.launcher import Launched, NodeHook
from pipeline.store.reader import Reader
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
        self._pushing = False

    def before_node(self, node: str) -> None:
        if node == PUSHER:
            self._pushing = True
            version_folder.forget()

    def after_node(self, node: str, launched: Launched) -> None:
        if node == PUSHER and launched.state in (State.RAN, State.CACHED):
            self._pushing = False

    def remove_unfinished(self) -> None:
        """Removes the version that this run pushed and did not record; those of others stay, whenever they came."""
        if not self._pushing:
            return
        reader = self._reader()
        ran = [e.id for e in reader.executions_of_node(self._plan.name, PUSHER) if e.state is State.RAN]
        pushed = reader.artifacts(edge.artifact for edge in reader.edges_of_executions(ran) if edge.output)
        recorded = {str(artifact.properties.get("pushed_version")) for artifact in pushed}
        for version in _versions(self.directory) - recorded:
            folder = os.path.join(self.directory, version)
            if version_folder.is_mine(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _versions(directory: str) -> set[str]:
    try:
        return {name for name in os.listdir(directory) if name.isdecimal()}
    except OSError:
        return set()
