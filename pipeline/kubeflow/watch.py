"""Following a run on a Kubeflow Pipelines server until it ends."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from components.common.base.errors import ParedownError
from pipeline.kubeflow import outcome as outcomes
from pipeline.kubeflow.outcome import TaskOutcome
from pipeline.kubeflow.server import Server
from pipeline.kubeflow.server_error import ServerError
from pipeline.kubeflow.task_rows import ENDED, TaskRows, message_of, rows_of
from pipeline.run.interruption import Interruption

if TYPE_CHECKING:
    from kfp_server_api import V2beta1PipelineTaskDetail as Row
    from kfp_server_api import V2beta1Run

# A run takes hours: a server that is away for a minute is not a reason to stop.
_OUTAGE_SECONDS = 300.0


class TimedOut(ParedownError):
    """The run takes longer than the time to wait."""


class LostContact(ParedownError):
    """The server no longer answers; the run may go on."""


@dataclass(frozen=True)
class Change:
    """A task that changed its state.

    Attributes:
        task: Its name.
        state: As `TaskRows.state`.
        seconds: How long it ran; None if it still does, or the server does not say.
    """

    task: str
    state: str
    seconds: float | None = None


@dataclass(frozen=True)
class Failure:
    """Why a run did not succeed.

    Attributes:
        task: The task that failed; None if none of the pipeline's tasks did.
        message: What is known of the cause.
        pods: Pods whose logs may say more.
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
        failures: Why, if it did not succeed.
        pushed: Where the winner was pushed to; None if nothing was, or it is not known.
        none_passed: True if no candidate passed, False if one did, None if it is not known.
        said: Task that was asked for → the outcome in its log, if the server has it.
    """

    state: str
    tasks: dict[str, str]
    failures: tuple[Failure, ...] = ()
    pushed: str | None = None
    none_passed: bool | None = None
    said: dict[str, TaskOutcome] = field(default_factory=dict)


@dataclass
class Watch:
    """Follows a run.

    Attributes:
        server: Where it runs.
        run_id: The server's id of it.
        tasks: Names of the pipeline's tasks.
        pusher: The task that pushes the winner; None if there is none.
        changed: Called with each change.
        noticed: Called with a sentence if the server cannot be asked for a while.
        tick: Seconds between two looks.
        limit: Seconds to wait; None to wait without limit.
        states: Task → state, as far as it has been followed.
        interruption: Is looked at before each pause.
        asked: Tasks whose outcome is read from their logs when the run has ended, however it did.
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
    interruption: Interruption = field(default_factory=Interruption)
    asked: Sequence[str] = ()

    def until_end(self) -> Outcome:
        """Waits for the end of the run.

        Raises:
            TimedOut: After `limit` seconds.
            LostContact: If the server refuses to answer, or cannot be reached for minutes.
            Interrupted: If a signal asked to stop.
        """
        end = None if self.limit is None else time.monotonic() + self.limit
        while True:
            run = self._look(end)
            details = (run.run_details.task_details if run.run_details else None) or []
            self._notice_changes(details)
            if run.state in ENDED:
                return dataclasses.replace(self._outcome(run, details), said=self._said(details))
            self._pause(end)

    def _pause(self, end: float | None) -> None:
        self.interruption.check()
        left = self.tick if end is None else end - time.monotonic()
        if left <= 0:
            raise TimedOut
        time.sleep(min(self.tick, left))

    def _look(self, end: float | None) -> V2beta1Run:
        lost: float | None = None
        renewed = False
        while True:
            try:
                return self.server.read("the run", lambda client: client.runs.get_run, self.run_id)
            except ServerError as error:
                if error.status == 401 and not renewed:  # a token may expire before the run ends
                    self.server.refresh()
                    renewed = True
                    continue
                lost = lost or time.monotonic()
                if not error.passing or time.monotonic() - lost > _OUTAGE_SECONDS:
                    raise LostContact(str(error)) from None
                self.noticed(f"{error}; the run goes on, and the server is asked again")
                self._pause(end)

    def _notice_changes(self, details: list[Row]) -> None:
        for task in self.tasks:
            rows = rows_of(task, details)
            state = rows.state()
            if state and state != self.states.get(task):
                self.states[task] = state
                self.changed(Change(task, state, rows.seconds()))

    def _outcome(self, run: V2beta1Run, details: list[Row]) -> Outcome:
        states = dict(self.states)
        if run.state != "SUCCEEDED":
            return Outcome(run.state, states, tuple(self._failures(run, details)))
        if self.pusher is None:
            return Outcome(run.state, states)
        if states.get(self.pusher) == "skipped":
            return Outcome(run.state, states, none_passed=True)
        pusher = outcomes.read(self._log(rows_of(self.pusher, details)))
        if pusher is None or pusher.pushed is None:
            return Outcome(run.state, states)
        return Outcome(run.state, states, pushed=pusher.destination, none_passed=not pusher.pushed)

    def _said(self, details: list[Row]) -> dict[str, TaskOutcome]:
        found = {task: outcomes.read(self._log(rows_of(task, details))) for task in self.asked}
        return {task: outcome for task, outcome in found.items() if outcome is not None}

    def _failures(self, run: V2beta1Run, details: list[Row]) -> list[Failure]:
        found = []
        for task in self.tasks:
            if self.states.get(task) == "failed":
                rows = rows_of(task, details)
                found.append(Failure(task, self._reason(rows), tuple(rows.pods())))
        if not found:
            rows_failed = [row for row in details if row.state == "FAILED"]
            # A task's own error says more than "child failed" of what it is part of.
            message = message_of(run) or next(filter(None, map(message_of, rows_failed)), "")
            found.append(Failure(None, message))
        return found

    def _reason(self, rows: TaskRows) -> str:
        log = self._log(rows)
        outcome = outcomes.read(log)
        if outcome and outcome.reason:
            return outcome.reason
        # The process was killed, or Python could not start.
        said, last = rows.message(), log.strip().rpartition("\n")[2]
        return "; ".join(part for part in (said, f"its log ends with: {last}" if last else "") if part)

    def _log(self, rows: TaskRows) -> str:
        """The log of the task's last pod that the server has one of; empty if there is none."""
        logs = (self.server.log(self.run_id, pod) for pod in reversed(rows.pods()))
        return next((log for log in logs if log and log.strip()), "")
