"""The runs of a search on this machine."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline import environment
from pipeline.base import log_file
from pipeline.base.exit_code import EXIT_NODE_FAILED
from pipeline.config.config_file import ConfigFile
from pipeline.plan.plan import Plan
from pipeline.plan.planner import make_plan
from pipeline.run import session
from pipeline.run.apart import apart
from pipeline.run.cache import cached_ids
from pipeline.run.session import Finished, Stopped
from pipeline.search.place import Judged, only_trials_need
from pipeline.store.reader import open_reader
from pipeline.store.search_record import SearchRecord

WritePage = Callable[[str, Path], bool]


@dataclass
class Here:
    """Runs in a process of its own each; see `pipeline.run.apart`.

    Attributes:
        write_page: As `session.run` takes it.
        strict: Whether to refuse what is otherwise a warning.
    """

    write_page: WritePage
    strict: bool = False
    _imported: bool = field(default=False, init=False)

    @property
    def key(self) -> str:
        """See `Place`."""
        return ""

    def judge(self, file: ConfigFile, record: SearchRecord, trusted: bool) -> Judged | Stopped:
        """See `Place`."""
        plan = make_plan(file.config, file.path).unpushed()
        run = self._run(file, plan, record)
        if not isinstance(run, Stopped):
            return Judged(run.run, run.verdicts)
        if run.run is None or not (trusted and self._is_of_the_trials(file, run, plan)):
            return run
        return Judged(run.run, {}, dict.fromkeys(file.config.candidates, run.message))

    def conclude(self, file: ConfigFile, record: SearchRecord) -> Finished | Stopped:
        """See `Place`."""
        return self._run(file, make_plan(file.config, file.path), record)

    def _is_of_the_trials(self, file: ConfigFile, stopped: Stopped, plan: Plan) -> bool:
        """Whether a run ended because each of its trials failed."""
        if stopped.code != EXIT_NODE_FAILED or stopped.node is None or stopped.run is None:
            return False
        reader = open_reader(file.config.metadata_url)
        run = reader.run(stopped.run) if reader else None
        return run is not None and run.cause is None and only_trials_need(plan, stopped.node)

    def _run(self, file: ConfigFile, plan: Plan, record: SearchRecord) -> Finished | Stopped:
        cached = cached_ids(file, plan)
        if not all(node.id in cached for node in plan.nodes):
            self._import(file, plan)
        return apart(lambda: session.run(file, plan, cached, self.write_page, self.strict, record))

    def _import(self, file: ConfigFile, plan: Plan) -> None:
        """Imports once what the process of each run needs."""
        if self._imported:
            return
        environment.prepare_for(file)
        with log_file.quiet("Importing TensorFlow and TFX …"):
            for name in (
                "pipeline.checks.preflight",
                "pipeline.run.local_runner",
                "pipeline.run.tfx_nodes",
            ):
                importlib.import_module(name)
            for node in plan.nodes:
                importlib.import_module(node.component.rpartition(".")[0])
        self._imported = True
