"""Following a run on a Kubeflow Pipelines server until it ends."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.common.base.errors import ParedownError
from pipeline.kubeflow.server import Server
from pipeline.kubeflow.server_error import ServerError

_ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
# A run takes hours: what is away for a minute is no reason to leave it alone.
_OUTAGE_SECONDS = 300.0
_NOT_BLESSED = "was not blessed by"  # as TFX's Pusher logs it
_PUSHED = "Model written to serving path "


class TimedOut(ParedownError):
    """The run takes longer than one wanted to wait."""


class LostContact(ParedownError):
    """The server cannot be asked any more; the run may go on."""


@dataclass(frozen=True)
class Change:
    """A task that came into another state.

    Attributes:
        task: Its name.
        state: `running`, `succeeded`, `cached`, `failed`, `skipped`, `canceled` or `pending`.
        seconds: How long it ran; None while it does, or where the server does not say.
    """

    task: str
    state: str
    seconds: float | None = None


@dataclass(frozen=True)
class Failure:
    """Why a run did not succeed.

    Attributes:
        task: The task that failed; None where none of the pipeline's did.
        message: What is known of the cause.
        pods: Whose logs may say more.
    """

    task: str | None
    message: str
    pods: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        state: KFP's: `SUCCEEDED`, `FAILED` or `CANCELED`.
        tasks: Task → state, as in `Change`.
        failures: Where it did not succeed.
        pushed: Where the winner was pushed to; None where nothing was, or where that is not known.
        none_passed: True where no candidate passed, False where one did, None where the server does not tell.
    """

    state: str
    tasks: dict[str, str]
    failures: tuple[Failure, ...] = ()
    pushed: str | None = None
    none_passed: bool | None = None


@dataclass
class Watch:
    """Follows a run.

    Attributes:
        server: Where it runs.
        run_id: The server's.
        tasks: Names of the pipeline's tasks.
        pusher: The task that pushes the winner; None where there is none.
        changed: Is told of each change.
        noticed: Is told, in a sentence, of what the server cannot say for a while.
        tick: Seconds between two looks.
        limit: Seconds to wait; None without end.
    """

    server: Server
    run_id: str
    tasks: Sequence[str]
    pusher: str | None
    changed: Callable[[Change], None]
    noticed: Callable[[str], None]
    tick: float = 10.0
    limit: float | None = None
    states: dict[str, str] = field(default_factory=dict)

    def until_end(self) -> Outcome:
        """Waits.

        Raises:
            TimedOut: After `limit` seconds.
            LostContact: Where the server refuses to tell, or cannot be reached for minutes.
        """
        end = None if self.limit is None else time.monotonic() + self.limit
        while True:
            run = self._look(end)
            details = self._details(run)
            self._tell(details)
            if run.state in _ENDED:
                return self._outcome(run, details)
            self._pause(end)

    def _pause(self, end: float | None) -> None:
        left = self.tick if end is None else end - time.monotonic()
        if left <= 0:
            raise TimedOut
        time.sleep(min(self.tick, left))

    def _look(self, end: float | None) -> Any:
        lost: float | None = None
        renewed = False
        while True:
            try:
                return self.server.read("the run", lambda client: client.runs.get_run, self.run_id)
            except ServerError as error:
                if error.status == 401 and not renewed:  # tokens live shorter than runs
                    self.server.refresh()
                    renewed = True
                    continue
                lost = lost or time.monotonic()
                if not error.passing or time.monotonic() - lost > _OUTAGE_SECONDS:
                    raise LostContact(str(error)) from None
                self.noticed(f"{error}; the run goes on, and is asked for again")
                self._pause(end)

    def _details(self, run: Any) -> list[Any]:
        return (run.run_details.task_details if run.run_details else None) or []

    def _tell(self, details: list[Any]) -> None:
        for task in self.tasks:
            state, seconds = state_of(task, details)
            if state and state != self.states.get(task):
                self.states[task] = state
                self.changed(Change(task, state, seconds))

    def _outcome(self, run: Any, details: list[Any]) -> Outcome:
        if run.state != "SUCCEEDED":
            return Outcome(run.state, dict(self.states), tuple(self._failures(run, details)))
        if self.pusher and self.states.get(self.pusher) == "skipped":
            return Outcome(run.state, dict(self.states), none_passed=True)
        for _, line in self._log(self.pusher, details) if self.pusher else []:
            if _NOT_BLESSED in line:
                return Outcome(run.state, dict(self.states), none_passed=True)
            if _PUSHED in line:
                place = line.split(_PUSHED)[1].strip().rstrip(".")
                return Outcome(run.state, dict(self.states), pushed=place, none_passed=False)
        return Outcome(run.state, dict(self.states))

    def _failures(self, run: Any, details: list[Any]) -> list[Failure]:
        found = []
        for task in self.tasks:
            if self.states.get(task) == "failed":
                told = map(_message, rows_of(task, details))
                message = _cause(task, self._log(task, details)) or next(filter(None, told), "")
                found.append(Failure(task, message, tuple(pods_of(task, details))))
        if not found:
            rows = [row for row in details if row.state == "FAILED"]
            # A task's own error says more than "child failed" of what it is in.
            message = _message(run) or next(filter(None, map(_message, rows)), "")
            found.append(Failure(None, message))
        return found

    def _log(self, task: str, details: list[Any]) -> list[tuple[str, str]]:
        """Severity and message of each line of a task's log; none where the server does not have it."""
        for pod in reversed(pods_of(task, details)):
            text = self.server.log(self.run_id, pod)
            if text and text.strip():
                return [_logged(line) for line in text.strip().splitlines()]
        return []


def rows_of(task: str, details: list[Any]) -> list[Any]:
    """What the server tells of a task: first of itself, then of what it is made of, then of its driver.

    KFP has a node for each task, one called `<task>-driver` that decides whether it runs, and one or more
    called `executor` below it that run its container.
    """
    own = [row for row in details if row.display_name == task]
    ids = {row.task_id for row in own if row.task_id}
    below = {child.task_id for row in own for child in row.child_tasks or [] if child.task_id}
    pods = {child.pod_name for row in own for child in row.child_tasks or [] if child.pod_name}
    inner = [
        row
        for row in details
        if row not in own
        and (row.parent_task_id in ids or row.task_id in below or (row.pod_name and row.pod_name in pods))
    ]
    drivers = [row for row in details if row.display_name == f"{task}-driver"]
    return [*reversed(own), *reversed(inner), *reversed(drivers)]


def pods_of(task: str, details: list[Any]) -> list[str]:
    """Names of the pods that a task's container ran in, as far as the server tells."""
    found: dict[str, None] = {}
    for row in reversed(rows_of(task, details)):
        if row.pod_name:
            found[row.pod_name] = None
        if row.display_name == task:
            found.update({child.pod_name: None for child in row.child_tasks or [] if child.pod_name})
    return list(found)


def state_of(task: str, details: list[Any]) -> tuple[str, float | None]:
    """A task's state, as in `Change`, and how long it ran; empty where it has none yet."""
    rows = rows_of(task, details)
    own = [row for row in rows if row.display_name == task]
    drivers = [row for row in rows if row.display_name == f"{task}-driver"]
    inner = [row for row in rows if row not in own and row not in drivers]
    state = own[0].state if own else None
    if any(row.state == "FAILED" for row in drivers) and state not in ("SUCCEEDED", "RUNNING"):
        state = "FAILED"  # what waits for the driver is left out, in a state that KFP's API does not know
    if state in (None, "RUNTIME_STATE_UNSPECIFIED"):
        state = "PENDING" if drivers and not own else None
    if state is None:
        return "", None
    if state == "SUCCEEDED" and inner and all(row.state == "SKIPPED" for row in inner):
        return "cached", None
    seconds = None
    if own and state in _ENDED and own[0].start_time and own[0].end_time:
        seconds = (own[0].end_time - own[0].start_time).total_seconds()
    return state.lower(), seconds


def _message(row: Any) -> str:
    """What the server says went wrong: KFP has two places for it, and often leaves both empty."""
    errors = [row.error, *(entry.error for entry in reversed(row.state_history or []))]
    return next((error.message for error in errors if error and error.message), "")


def _logged(line: str) -> tuple[str, str]:
    """Severity and message of a line of a task's log; KFP's launcher writes others there, without severity."""
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    if not isinstance(entry, dict):
        return "", line
    return str(entry.get("severity", "")), str(entry.get("message", line))


def _cause(task: str, log: list[tuple[str, str]]) -> str:
    """The last error of a task's log, or its last line: that of our entrypoint says why it failed."""
    errors = [message for severity, message in log if severity in ("ERROR", "CRITICAL")]
    last = (errors or [message for _, message in log] or [""])[-1]
    return last.removeprefix(f"{task} failed: ")
