"""Running a config."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from components.common.base import whole_file
from components.common.base.errors import ParedownError
from pipeline import report
from pipeline.api.explaining import explain
from pipeline.api.planning import plan as make
from pipeline.base.shown import Shown
from pipeline.checks.checked_config import refuse_without_candidates
from pipeline.config import several_targets
from pipeline.config.config_file import ConfigFile
from pipeline.config.problem import InvalidInput
from pipeline.run import session
from pipeline.run.apart import apart
from pipeline.run.session import Finished, Stopped
from pipeline.run.winners import Outcome, Winners


class RunStopped(ParedownError):
    """A run that did not finish: a node failed, or the run was interrupted.

    Attributes:
        stopped: What is known of it: the node, the file with the traceback, the report.
    """

    def __init__(self, stopped: Stopped):
        super().__init__(f"{stopped.node}: {stopped.message}" if stopped.node else stopped.message)
        self.stopped = stopped
        self.exit_code = stopped.code  # type: ignore[misc]  # of this run


def run(file: ConfigFile, remeasure: Sequence[str] = (), strict: bool = False) -> Finished:
    """Trains, builds, evaluates, and pushes the best candidate: `paredown run`.

    Progress goes to standard error. Nodes that have not changed since an earlier run are taken from the cache.

    Args:
        file: The config.
        remeasure: Candidates to measure again even if their measurement is cached.
        strict: Whether to refuse candidates whose predicted size misses a limit, instead of a warning.

    Returns:
        The verdicts, the winner, and where it was pushed; both are None if no candidate passed.

    Raises:
        InvalidInput: If the config, the data or the model cannot work; nothing was run.
        AnotherRun: If another run is using the pipeline root.
        RunStopped: If a node fails that the others need, or Ctrl-C stops the run.
        SeveralTargetsError: If the config names several targets.
    """
    refuse_without_candidates(file)
    several_targets.refuse(file.config)
    outcome = _run(file, remeasure, strict)
    if isinstance(outcome, Stopped):
        raise RunStopped(outcome)
    return outcome


def _run(file: ConfigFile, remeasure: Sequence[str], strict: bool) -> Finished | Stopped:
    planned = make(file, remeasure, afresh=True)
    write_page = functools.partial(report.write_run, file.config.metadata_url)
    return session.run(file, planned.plan, set(planned.cached), write_page, strict)


@dataclass(frozen=True, eq=False)
class FinishedOnEach(Shown):
    """The result on each of several targets.

    Attributes:
        targets: Kind → its finished run, in the order of the config.
        winners: The winner of each, and why it is.
        page: Page that compares them.
    """

    targets: dict[str, Finished]
    winners: Winners
    page: str

    @property
    def exit_code(self) -> int:
        """Exit code of the command: the greatest of the runs' codes, 0 if a winner was pushed for each target."""
        return max(finished.result.exit_code for finished in self.targets.values())

    def show(self, console: Console) -> None:
        for kind, finished in self.targets.items():
            console.print(f"target: {kind}", style="bold")
            finished.show(console)
        self.winners.show(console)
        console.print(f"Winners: {self.page}", markup=False, soft_wrap=True)

    def to_json(self) -> dict[str, Any]:
        """The outcomes as JSON values."""
        return {
            "targets": {kind: finished.to_json() for kind, finished in self.targets.items()},
            "winners": self.winners.to_json(),
            "page": self.page,
        }


def run_each(file: ConfigFile, remeasure: Sequence[str] = (), strict: bool = False) -> FinishedOnEach:
    """Runs a config for each of its targets: `paredown run`.

    Each is an ordinary run, in a process of its own. Results that do not depend on the target are taken from the cache,
    so models are trained once. What one of the targets refuses is reported before the first run.

    Args:
        file: A config that names several targets.
        remeasure: As `run` takes it.
        strict: As `run` takes it.

    Raises:
        InvalidInput, AnotherRun, RunStopped: As `run`; targets that come before have finished.
    """
    files = file.each_target()
    first, *others = files.values()
    # The first run looks at its own candidates.
    problems = [problem for view in others for problem in apart(functools.partial(_refused, view, strict))]
    if problems:
        raise InvalidInput(list(dict.fromkeys(problems)))
    finished: dict[str, Finished] = {}
    for kind, view in files.items():
        known = [name for name in remeasure if name in view.config.candidates]
        outcome = apart(functools.partial(_run, view, known, strict))
        if isinstance(outcome, Stopped):
            raise RunStopped(outcome)
        finished[kind] = outcome
    left_out = {kind: one.left_out for kind, one in several_targets.each(file.config).items()}
    winners = Winners(
        {
            kind: Outcome(one.result.report, left_out[kind], one.pushed, one.run, one.report)
            for kind, one in finished.items()
        }
    )
    page = Path(first.config.pipeline_root).absolute() / "reports" / "targets.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    with whole_file.writing(page) as written:
        written.write(winners.html(file.config.name))
    return FinishedOnEach(finished, winners, os.fspath(page))


def _refused(file: ConfigFile, strict: bool) -> list[Any]:
    return list(explain(file, strict).problems)
