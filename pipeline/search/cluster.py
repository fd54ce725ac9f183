"""The runs of a search on Kubeflow Pipelines: each is compiled, submitted and followed to its end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console

from components.common.base.interruption import Interrupted
from components.evaluator.verdict import Verdict
from components.selector.params import SelectOptions
from pipeline.base.console import make_console
from pipeline.base.exit_code import (
    EXIT_INTERRUPTED,
    EXIT_NODE_FAILED,
    EXIT_NONE_PASSED,
    EXIT_PUSHED,
    EXIT_UNWATCHED,
)
from pipeline.base.shown import Shown
from pipeline.checks.checked_config import load_checked
from pipeline.config.config_file import ConfigFile
from pipeline.config.kubeflow_options import Target
from pipeline.config.problem import InvalidInput, about
from pipeline.kubeflow import fingerprint as fingerprints
from pipeline.kubeflow import package as packages
from pipeline.kubeflow import submission
from pipeline.kubeflow.compile import Written, compile_config, default_output, problems_of
from pipeline.kubeflow.connection import ConnectionProblem
from pipeline.kubeflow.package import Package, PackageError
from pipeline.kubeflow.parameters import DATA_FINGERPRINT, PUSH_DIRECTORY
from pipeline.kubeflow.progress import Progress
from pipeline.kubeflow.server import Server
from pipeline.kubeflow.server_error import ServerError
from pipeline.kubeflow.submission import Run
from pipeline.kubeflow.submit import PUSHER, Request, experiment_name, failure_text, needed_to_compile
from pipeline.kubeflow.task_names import task_names
from pipeline.kubeflow.watch import LostContact, Outcome, TimedOut, Watch
from pipeline.plan.node import SELECTOR
from pipeline.plan.plan import Plan
from pipeline.plan.planner import make_plan
from pipeline.run.interruption import Interruption
from pipeline.run.session import Stopped
from pipeline.run.verdict_table import verdict_table
from pipeline.search import rounds
from pipeline.search import search as searching
from pipeline.search.place import Judged, only_trials_need
from pipeline.search.search import Searched
from pipeline.store.search_record import SearchRecord

_NO_VERDICT = (
    "the server has no log of {task}, which has the verdict; let the API server read the logs of pods"
)


@dataclass(frozen=True)
class Concluded(Shown):
    """The result of the last run.

    Attributes:
        verdicts: Candidate → its verdict.
        select: How the winner is chosen.
        winner: The selected candidate; None if no candidate passed.
        pushed: Where it was pushed to; None if nothing was, or it is not known.
        run: The run on the server.
    """

    verdicts: Mapping[str, Verdict]
    select: SelectOptions
    winner: str | None
    pushed: str | None
    run: Run

    @property
    def exit_code(self) -> int:
        """Exit code of the command."""
        return EXIT_PUSHED if self.winner else EXIT_NONE_PASSED

    def show(self, console: Console) -> None:
        console.print(verdict_table(dict(self.verdicts), self.winner, console.width, self.select))
        if self.winner:
            where = self.pushed or "the push directory, which the pusher's log names"
            console.print(f"{self.winner} pushed to {where}", markup=False, soft_wrap=True)
        else:
            console.print("[bold red]No candidate passed the gate; nothing was pushed.[/]")
        console.print(f"Run: {self.run.page}", markup=False, soft_wrap=True)

    def to_json(self) -> dict[str, Any]:
        """The outcome as JSON values."""
        return {
            "candidates": {name: verdict.to_json() for name, verdict in self.verdicts.items()},
            "winner": self.winner,
            "pushed": self.pushed,
            "run": asdict(self.run),
        }


@dataclass
class Cluster:
    """Runs on the server of a request.

    A run that was submitted before, by a search that was killed, is followed rather than submitted again.

    Attributes:
        request: How to compile and submit; its `source` is the search's config.
        interruption: Is looked at while a run is followed.
    """

    request: Request
    interruption: Interruption = field(default_factory=Interruption)

    @cached_property
    def server(self) -> Server:
        """The server; connects on first use."""
        return Server(self.request.connection)

    @property
    def key(self) -> str:
        """Distinguishes studies on a cluster from those here, and by the values of parameters."""
        return json.dumps(["kubeflow", *sorted(self.request.parameters)])

    def judge(self, file: ConfigFile, record: SearchRecord, trusted: bool) -> Judged | Stopped:
        """See `Place`."""
        plan = make_plan(file.config, file.path).unpushed()
        name = f"{record.study}-round-{record.round}"
        followed = self._follow(file, plan, name)
        if isinstance(followed, Stopped):
            return followed
        run, outcome = followed
        verdicts = self._verdicts(plan, outcome)
        if outcome.state == "SUCCEEDED":
            return _without_verdict(plan, verdicts, run) or Judged(run.id, verdicts)
        nodes = {task: node for node, task in task_names(plan).items()}
        failed = [nodes[failure.task] for failure in outcome.failures if failure.task in nodes]
        of_trials = failed and all(only_trials_need(plan, node) for node in failed)
        if not (of_trials and (verdicts or trusted)):
            return _failed(outcome, run)
        reasons = {
            candidate: failure_text(failure, run)
            for failure in outcome.failures
            if failure.task in nodes
            for candidate in plan.node(nodes[failure.task]).candidates
        }
        missing = set(file.config.candidates) - set(verdicts)
        return Judged(run.id, verdicts, {name: reasons.get(name, "it was not judged") for name in missing})

    def conclude(self, file: ConfigFile, record: SearchRecord) -> Concluded | Stopped:
        """See `Place`."""
        plan = make_plan(file.config, file.path)
        followed = self._follow(file, plan, f"{record.study}-last")
        if isinstance(followed, Stopped):
            return followed
        run, outcome = followed
        if outcome.state != "SUCCEEDED":
            return _failed(outcome, run)
        verdicts = self._verdicts(plan, outcome)
        stopped = _without_verdict(plan, verdicts, run)
        if stopped:
            return stopped
        selector = outcome.said.get(task_names(plan)[SELECTOR])
        if selector is None or selector.winner is None:
            return _unknown(run, _NO_VERDICT.format(task=task_names(plan)[SELECTOR]))
        return Concluded(verdicts, file.config.select, selector.winner or None, outcome.pushed, run)

    def _follow(self, file: ConfigFile, plan: Plan, name: str) -> tuple[Run, Outcome] | Stopped:
        """Submits a run, unless one is there, and follows it to its end."""
        package = self._compiled(file, plan)
        run = self._run(file, package, name)
        console = make_console(stderr=True)
        console.print(f"Run: {run.page}", markup=False, soft_wrap=True)
        tasks, names = package.spec.order(), task_names(plan)
        progress = Progress(console, tasks)
        watch = Watch(
            server=self.server,
            run_id=run.id,
            tasks=tasks,
            pusher=PUSHER if PUSHER in tasks else None,
            changed=progress.show,
            noticed=progress.notice,
            tick=self.request.tick,
            limit=self.request.limit,
            interruption=self.interruption,
            asked=[names[node] for node in (*plan.evaluations.values(), SELECTOR)],
        )
        try:
            return run, watch.until_end()
        except Interrupted:
            return Stopped(EXIT_INTERRUPTED, None, _going_on("Interrupted", run), None, run.id)
        except TimedOut:
            return _unknown(run, f"Not finished after {self.request.limit:g} s (--timeout)")
        except (LostContact, ServerError, ConnectionProblem) as error:
            return _unknown(run, str(error))

    def _compiled(self, file: ConfigFile, plan: Plan) -> Package:
        image, root = needed_to_compile(self.request)
        problems = problems_of(file, "kubeflow", image, root)
        if problems:
            raise InvalidInput(problems)
        return packages.read(compile_config(file, plan, "kubeflow", image, root).text())

    def _run(self, file: ConfigFile, package: Package, name: str) -> Run:
        request = self.request
        values = packages.arguments(package.spec, self._given(package))
        fingerprint = fingerprints.of_run(package.spec, values, request.data, file.config.data.path)
        if fingerprint.value is not None:
            values[DATA_FINGERPRINT] = fingerprint.value
        namespace = submission.namespace_of(self.server, request.namespace)
        version = submission.store(self.server, package, namespace)
        experiment = submission.experiment(self.server, experiment_name(request, package), namespace)
        self.interruption.check()
        found = submission.started(self.server, version, experiment, name, values, namespace)
        return found or submission.start(
            self.server,
            version,
            experiment,
            name,
            values,
            namespace,
            service_account=request.service_account,
        )

    def _given(self, package: Package) -> list[str]:
        """The parameters of a run; only the last one has a folder to push to."""
        pushes = PUSH_DIRECTORY in package.spec.parameters
        return [
            text for text in self.request.parameters if pushes or text.partition("=")[0] != PUSH_DIRECTORY
        ]

    def _verdicts(self, plan: Plan, outcome: Outcome) -> dict[str, Verdict]:
        """Candidate → its verdict, as far as logs have them."""
        names = task_names(plan)
        found = {}
        for candidate, node in plan.evaluations.items():
            said = outcome.said.get(names[node])
            if said is not None and said.verdict is not None:
                found[candidate] = Verdict.from_json(said.verdict, f"the log of {names[node]}")
        return found


def search(request: Request) -> Searched | Stopped:
    """Searches on a cluster: `paredown submit CONFIG --search`. The study is kept here, below run.pipeline_root.

    Args:
        request: How to submit; its `source` is a config with a search.

    Raises:
        ParedownError: If the config is invalid, or the server cannot be reached or refuses.
    """
    if packages.is_compiled(request.source):
        raise PackageError(f"{request.source} is compiled already; give the config instead to use --search")
    options = {"--only": request.only, "--run-name": request.run_name}
    for option, given in options.items():
        if given:
            raise PackageError(f"{option} cannot be combined with --search; remove it")
    file = load_checked(request.source, request.overrides)
    rounds.refuse_without_space(file)
    with about(request.source):
        needed_to_compile(request)
    interruption = Interruption()
    try:
        with interruption.by_signals():
            return searching.search(file, Cluster(request, interruption))
    except (Interrupted, KeyboardInterrupt):
        return Stopped(EXIT_INTERRUPTED, None, "Interrupted; submit again to continue the search.", None)


def compile_round(
    path: Path, overrides: Sequence[str], target: Target, image: str, pipeline_root: str, output: str | None
) -> Written:
    """Compiles the first round of a search: `paredown compile CONFIG --search`.

    Args:
        path: The config.
        overrides: Its `--set`s.
        target: What to compile for.
        image: Container image of the tasks.
        pipeline_root: URI of the folder of artifacts.
        output: File to write; None for the pipeline's name.

    Raises:
        InvalidInput: As `compile_each`.
    """
    file = load_checked(path, overrides)
    rounds.refuse_without_space(file)
    found = rounds.round_file(file, rounds.first_trials(file))
    problems = problems_of(found, target, image, pipeline_root, output)
    if problems:
        raise InvalidInput(problems)
    with about(path):
        plan = make_plan(found.config, found.path).unpushed()
        compiled = compile_config(found, plan, target, image, pipeline_root)
        return Written(found, compiled, output or default_output(file.config.name, target))


def _without_verdict(plan: Plan, verdicts: Mapping[str, Verdict], run: Run) -> Stopped | None:
    """How a search ends if a run succeeded, and a verdict is not known; None if all are."""
    names = task_names(plan)
    missing = [names[node] for candidate, node in plan.evaluations.items() if candidate not in verdicts]
    return _unknown(run, _NO_VERDICT.format(task=missing[0])) if missing else None


def _failed(outcome: Outcome, run: Run) -> Stopped:
    if outcome.state in ("CANCELED", "SKIPPED"):
        text = f"Run {run.name} was {outcome.state.lower()} before it finished; see {run.page}"
    else:
        text = "\n".join(failure_text(failure, run) for failure in outcome.failures)
    node = next((failure.task for failure in outcome.failures), None)
    return Stopped(EXIT_NODE_FAILED, node, text, None, run.id)


def _unknown(run: Run, why: str) -> Stopped:
    return Stopped(EXIT_UNWATCHED, None, _going_on(why, run), None, run.id)


def _going_on(why: str, run: Run) -> str:
    return f"{why}. See {run.page}; submit again to continue with this run"
