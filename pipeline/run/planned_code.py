"""The code that a run was planned with: what its nodes make is cached under the versions of that code for good."""

from __future__ import annotations

from collections.abc import Callable

from components.common.base.errors import ParedownError
from components.common.base.file_hashes import ChangedFile
from pipeline.plan import code_version, remembered_versions
from pipeline.plan.plan import Plan


class PlannedCode:
    """Notices that code was edited, or that a package was installed, while a run is going on.

    A node imports most of its code when it begins, and some of it later: its results may be those of either version.
    """

    def __init__(self, plan: Plan, again: Callable[[], Plan]):
        """Remembers how the files are now; the first check compares them with the plan.

        Args:
            plan: What runs.
            again: Plans the same run from the files that are there now.
        """
        self._plan = plan
        self._again = again
        self._state, _ = remembered_versions.state_of(code_version.ROOT)
        code_version.forget()

    def refuse_change(self, node: str) -> None:
        """Checks a node before and after it runs.

        Raises:
            ChangedFile: If its code, its options or the model module are not those of the plan.
        """
        state, _ = remembered_versions.state_of(code_version.ROOT)
        if state != self._state:
            code_version.forget()
            self._state = state
        try:
            now = self._again()
            same = now.module_version == self._plan.module_version
            same = same and now.node(node).parameters == self._plan.node(node).parameters
        except (ParedownError, OSError, SyntaxError, StopIteration):
            same = False
        if not same:
            raise ChangedFile(
                f"the code that {node} runs, or the model module, changed during the run. Run again: what is done "
                "with the code as it was stays cached."
            )
