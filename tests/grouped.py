"""How tests are spread over processes, and what becomes of those that a crashed process leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController


class Grouped(LoadScopeScheduling):
    """Tests of a group go to one process.

    pytest-xdist 3.8 hands out again all groups of a process that crashed, finished ones included. Another process that
    is given no test by that waits for ever, and so does a new process with a single test.
    """

    def __init__(self, config: pytest.Config, log: Any, group_of: Callable[[str], str]):
        """As the base class.

        Args:
            config: Pytest's.
            log: Pytest-xdist's.
            group_of: Id of a test → its group.
        """
        super().__init__(config, log)
        self._group_of = group_of

    def _split_scope(self, nodeid: str) -> str:
        return self._group_of(nodeid)

    def schedule(self) -> None:
        super().schedule()
        for node in self.nodes:
            self._reschedule(node)

    def remove_node(self, node: WorkerController) -> str | None:
        """Takes what a process has not finished back; the test in which it crashed has failed, and is not run again."""
        groups = self.assigned_work.pop(node)
        left = [(tests, name) for tests in groups.values() for name, done in tests.items() if not done]
        if not left:
            return None
        tests, crashed = left[0]
        tests[crashed] = True
        self.workqueue.update({name: group for name, group in groups.items() if not all(group.values())})
        for other in self.assigned_work:
            self._reschedule(other)
        return str(crashed)
