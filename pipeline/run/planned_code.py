"""The code that a run was planned with: what its nodes make is cached under the versions of that code for good."""

from __future__ import annotations

from collections.abc import Callable

from components.common.base.file_hashes import ChangedFile
from pipeline.plan import code_version, node_code, remembered_versions
from pipeline.plan.plan import Plan


class PlannedCode:
    """Notices that code was edited, or that a package was installed, during a run.

    A node imports most of its code when it begins, and some of it later: its results may be those of either version.
    """

    def __init__(self, plan: Plan, model_version: Callable[[], str]):
        """Remembers the state of the files; the first check compares them with the plan.

        Args:
            plan: Plan of the run.
            model_version: Returns the version of the model module as it is now.
        """
        self._plan = plan
        self._model_version = model_version
        self._state, _ = remembered_versions.state_of(code_version.ROOT)
        code_version.forget()

    def refuse_change(self, node: str) -> None:
        """Checks a node before and after it runs.

        Raises:
            ChangedFile: If its code or the model module is not that of the plan.
        """
        state, _ = remembered_versions.state_of(code_version.ROOT)
        if state != self._state:
            code_version.forget()
            self._state = state
        planned = self._plan.node(node)
        try:
            planned_version, version = node_code.versions(planned.executor, planned.parameters) or ("", "")
            same = version == planned_version and self._model_version() == self._plan.module_version
        except (OSError, SyntaxError):  # of a file that is gone, or half-edited
            same = False
        if not same:
            raise ChangedFile(
                f"the code that {node} runs, or the model module, changed during the run. Run again; nodes that "
                "have finished are cached."
            )
