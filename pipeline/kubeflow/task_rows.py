"""A Kubeflow Pipelines server's record of one task of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kfp_server_api import V2beta1PipelineTaskDetail as Row
    from kfp_server_api import V2beta1Run

ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
"""States of KFP that do not change any more."""


@dataclass(frozen=True)
class TaskRows:
    """The rows about a task, each kind with the newest first.

    KFP has a row for each task, one named `<task>-driver` that decides whether it runs, and one or more named
    `executor` below it that run its container.

    Attributes:
        own: Rows of the task itself.
        inner: Rows below it.
        drivers: Rows of its driver.
    """

    own: tuple[Row, ...]
    inner: tuple[Row, ...]
    drivers: tuple[Row, ...]

    def state(self) -> str | None:
        """`running`, `succeeded`, `cached`, `failed`, `skipped`, `canceled` or `pending`; None if it has none yet."""
        state = self.own[0].state if self.own else None
        if any(row.state == "FAILED" for row in self.drivers) and state not in ("SUCCEEDED", "RUNNING"):
            return "failed"  # the task itself is then in a state that KFP's API does not know
        if state in (None, "RUNTIME_STATE_UNSPECIFIED"):
            return "pending" if self.drivers and not self.own else None
        if state == "SUCCEEDED" and self.inner and all(row.state == "SKIPPED" for row in self.inner):
            return "cached"
        return str(state).lower()

    def seconds(self) -> float | None:
        """How long it ran; None if it has not ended, was cached, or the server does not say."""
        if not self.own or self.own[0].state not in ENDED or self.state() == "cached":
            return None
        start, end = self.own[0].start_time, self.own[0].end_time
        return (end - start).total_seconds() if start and end else None

    def pods(self) -> list[str]:
        """Pods that the task ran in, the newest last."""
        found: dict[str, None] = {}
        for row in reversed((*self.own, *self.inner, *self.drivers)):
            children = row.child_tasks or [] if row in self.own else []
            found |= {pod.pod_name: None for pod in (row, *children) if pod.pod_name}
        return list(found)

    def message(self) -> str:
        """The server's error message; empty if there is none."""
        rows = (*self.own, *self.inner, *self.drivers)
        return next(filter(None, map(message_of, rows)), "")


def rows_of(task: str, details: list[Row]) -> TaskRows:
    """The rows about a task among those of a run."""
    newest = details[::-1]
    own = tuple(row for row in newest if row.display_name == task)
    children = [child for row in own for child in row.child_tasks or []]
    ids = {row.task_id for row in own if row.task_id}
    below = {child.task_id for child in children if child.task_id}
    pods = {child.pod_name for child in children if child.pod_name}
    inner = tuple(
        row
        for row in newest
        if row.display_name != task
        and (row.parent_task_id in ids or row.task_id in below or row.pod_name in pods)
    )
    drivers = tuple(row for row in newest if row.display_name == f"{task}-driver")
    return TaskRows(own, inner, drivers)


def message_of(row: Row | V2beta1Run) -> str:
    """The server's error message for a task or a run: KFP has two places for it, and often fills neither."""
    errors = [row.error, *(entry.error for entry in reversed(row.state_history or []))]
    return next((error.message for error in errors if error and error.message), "")
