"""Running a config."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from components.common.base.errors import ParedownError
from pipeline import report
from pipeline.api.planning import plan as make
from pipeline.checks.checked_config import refuse_without_candidates
from pipeline.config.config_file import ConfigFile
from pipeline.run import session
from pipeline.run.session import Finished, Stopped


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
        strict: Whether to refuse candidates that will miss a limit by their predicted sizes, instead of a warning.

    Returns:
        The verdicts, the winner, and where it was pushed; both are None if no candidate passed.

    Raises:
        InvalidInput: If the config, the data or the model cannot work; nothing was run.
        AnotherRun: If another run is using the pipeline root.
        RunStopped: If a node fails that the others need, or Ctrl-C stops the run.
    """
    refuse_without_candidates(file)
    planned = make(file, remeasure, afresh=True)
    write_page = functools.partial(report.write_run, file.config.metadata_url)
    outcome = session.run(file, planned.plan, set(planned.cached), write_page, strict)
    if isinstance(outcome, Stopped):
        raise RunStopped(outcome)
    return outcome
