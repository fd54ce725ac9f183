"""The work of `paredown submit`: reads or compiles a pipeline, starts a run of it, and follows the run.

A compiled file is submitted without importing TensorFlow or TFX.
"""

from __future__ import annotations

import dataclasses
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from components.common.base.interruption import Interrupted
from pipeline.base import streams
from pipeline.base.console import make_console
from pipeline.base.exit_code import (
    EXIT_INTERRUPTED,
    EXIT_NODE_FAILED,
    EXIT_NONE_PASSED,
    EXIT_PUSHED,
    EXIT_UNWATCHED,
)
from pipeline.checks.checked_config import load_checked
from pipeline.config.problem import about
from pipeline.kubeflow import fingerprint as fingerprints
from pipeline.kubeflow import package as packages
from pipeline.kubeflow import submission
from pipeline.kubeflow.compile import compile_each, notes
from pipeline.kubeflow.connection import Connection, ConnectionProblem
from pipeline.kubeflow.package import Package, PackageError
from pipeline.kubeflow.parameters import DATA_FINGERPRINT
from pipeline.kubeflow.progress import Progress
from pipeline.kubeflow.server import Server
from pipeline.kubeflow.server_error import ServerError
from pipeline.kubeflow.submission import Experiment, PipelineVersion, Run
from pipeline.kubeflow.watch import Failure, LostContact, Outcome, TimedOut, Watch
from pipeline.run.interruption import Interruption

PUSHER = "pusher"
"""Name of the task that pushes."""


@dataclass(frozen=True)
class Request:
    """What to submit and how; attributes are named after the command's options.

    Attributes:
        source: A config, or a compiled file.
        limit: Seconds to wait for the end; None to wait without limit.
        tick: Seconds between two looks at the run.
        as_json: Whether standard output is for scripts; the run's address then goes to standard error.
    """

    source: Path
    connection: Connection
    image: str | None = None
    pipeline_root: str | None = None
    experiment: str | None = None
    run_name: str | None = None
    namespace: str | None = None
    parameters: tuple[str, ...] = ()
    data: str | None = None
    service_account: str | None = None
    wait: bool = False
    limit: float | None = None
    tick: float = 10.0
    overrides: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    as_json: bool = False


@dataclass
class Report:
    """Outcome of a submission so far. `to_json` is what `--json` prints.

    Attributes:
        pipeline, experiment, run: What is on the server; None before the run is started.
        parameters: Values of the run's parameters, defaults included.
        data: Folder whose fingerprint went with the run.
        state, tasks, failures, pushed, none_passed: As `Outcome`; None if the run was not followed to its end.
        code: The command's exit code.
        message: How it ended, for people.
        starting: Whether the server has been asked to start the run.
    """

    pipeline: PipelineVersion | None = None
    experiment: Experiment | None = None
    run: Run | None = None
    parameters: dict[str, Any] | None = None
    data: str | None = None
    state: str | None = None
    tasks: dict[str, str] | None = None
    failures: tuple[Failure, ...] | None = None
    pushed: str | None = None
    none_passed: bool | None = None
    code: int = EXIT_PUSHED
    message: str = ""
    starting: bool = field(default=False, repr=False)

    def end(self, code: int, message: str) -> None:
        """Sets the exit code and the message."""
        self.code, self.message = code, message

    def to_json(self) -> dict[str, Any]:
        """JSON values; null for what is not known."""
        values = dataclasses.asdict(self)
        del values["starting"]
        return values


def submit(request: Request) -> Report:
    """Submits, and with `wait` follows the run.

    Raises:
        ParedownError: If no run was started: the input is invalid, or the server cannot be reached or refuses.
    """
    report = Report()
    interruption = Interruption()
    try:
        with interruption.by_signals():
            _submit(request, report, interruption)
    except (Interrupted, KeyboardInterrupt):
        if report.run:
            report.end(EXIT_INTERRUPTED, f"Interrupted. The run goes on; see {report.run.page}")
        elif report.starting:
            report.end(
                EXIT_INTERRUPTED, "Interrupted while the run was being started; check whether it exists."
            )
        else:
            report.end(EXIT_INTERRUPTED, "Interrupted; no run was started.")
    return report


def _submit(request: Request, report: Report, interruption: Interruption) -> None:
    with about(request.source):
        package, own = _package(request)
        values = packages.arguments(package.spec, request.parameters)
        fingerprint = fingerprints.of_run(package.spec, values, request.data, own)
    as_compiled = fingerprint.folder is None and DATA_FINGERPRINT not in values
    if fingerprint.value is not None:
        values[DATA_FINGERPRINT] = fingerprint.value
    server = Server(request.connection)
    namespace = submission.namespace_of(server, request.namespace)
    version = submission.store(server, package, namespace)
    experiment = submission.experiment(server, experiment_name(request, package), namespace)
    interruption.check()
    report.starting = True
    try:
        run = submission.start(
            server,
            version,
            experiment,
            request.run_name or f"{package.spec.name}-{time.strftime('%Y%m%d-%H%M%S')}",
            values,
            namespace,
            # A config is compiled with it.
            pipeline_root=request.pipeline_root if own is None else None,
            service_account=request.service_account,
        )
    except ServerError as error:
        if not error.sent:
            raise
        page = f"{server.page}/#/experiments/details/{experiment.id}"
        report.end(EXIT_UNWATCHED, f"{error}. It is not known whether the run was started; see {page}")
        return
    report.pipeline, report.experiment, report.run = version, experiment, run
    report.parameters = {**packages.defaults(package.spec), **values}
    report.data = fingerprint.folder
    if request.as_json:
        streams.say(f"Run: {run.page}")
    else:
        streams.say(_created(version, experiment))
        streams.answer(run.page)
    if as_compiled and fingerprint.value is not None:
        click.echo(
            "The run has the data fingerprint from compilation, because data_path is not a folder on this machine. "
            "If the data changed since, KFP's cache does not notice; give --data FOLDER or "
            f"--param {DATA_FINGERPRINT}=TEXT",
            err=True,
        )
    if request.wait:
        _wait(request, server, package, report, run, interruption)


def _package(request: Request) -> tuple[Package, str | None]:
    """The pipeline to submit, and the data.path of its config if it is compiled now."""
    if not packages.is_compiled(request.source):
        return _compiled(request)
    options = {"--image": request.image, "--set": request.overrides, "--only": request.only}
    for option, given in options.items():
        if given:
            raise PackageError(f"is compiled already; give the config instead to use {option}")
    try:
        return packages.read(request.source.read_text(encoding="utf-8")), None
    except OSError as error:
        raise PackageError(f"cannot be read: {error.strerror}") from None


def _compiled(request: Request) -> tuple[Package, str]:
    if not (request.image and request.pipeline_root):
        load_checked(request.source, request.overrides, request.only)
    image, pipeline_root = needed_to_compile(request)
    each = compile_each(request.source, request.overrides, request.only, "kubeflow", image, pipeline_root)
    if "" not in each:
        kinds = " or ".join(f"--set target={kind}" for kind in each)
        raise PackageError(
            f"names several targets, each of which is a run of its own; submit it with {kinds}"
        )
    (one,) = each.values()
    for note in notes(one.file):
        streams.say(note)
    return packages.read(one.compiled.text()), one.file.config.data.path


def needed_to_compile(request: Request) -> tuple[str, str]:
    """The image and the pipeline root.

    Raises:
        PackageError: If one is missing.
    """
    if request.image and request.pipeline_root:
        return request.image, request.pipeline_root
    options = {"--image": request.image, "--pipeline-root": request.pipeline_root}
    missing = " and ".join(option for option, given in options.items() if not given)
    raise PackageError(f"is a config, which is compiled first; give {missing}")


def experiment_name(request: Request, package: Package) -> str:
    """The experiment, as in KFP's client: one variable is the default, another one overrides what is given."""
    wanted = (
        request.experiment or os.environ.get("KF_PIPELINES_DEFAULT_EXPERIMENT_NAME") or package.spec.name
    )
    return os.environ.get("KF_PIPELINES_OVERRIDE_EXPERIMENT_NAME") or wanted


def _created(pipeline: PipelineVersion, experiment: Experiment) -> str:
    return (
        f"{'New pipeline' if pipeline.new else 'Pipeline'} {pipeline.name}, "
        f"{'new' if pipeline.new_version else 'existing'} version {pipeline.version}, "
        f"{'new experiment' if experiment.new else 'experiment'} {experiment.name}"
    )


def _wait(
    request: Request, server: Server, package: Package, report: Report, run: Run, interruption: Interruption
) -> None:
    tasks = package.spec.order()
    progress = Progress(make_console(stderr=True), tasks)
    watch = Watch(
        server=server,
        run_id=run.id,
        tasks=tasks,
        pusher=PUSHER if PUSHER in tasks else None,
        changed=progress.show,
        noticed=progress.notice,
        tick=request.tick,
        limit=request.limit,
        interruption=interruption,
    )
    report.tasks = watch.states
    try:
        _report(report, run, watch.until_end())
    except TimedOut:
        report.end(
            EXIT_UNWATCHED,
            f"Not finished after {request.limit:g} s (--timeout). The run goes on; see {run.page}",
        )
    except (LostContact, ServerError, ConnectionProblem) as error:
        report.end(EXIT_UNWATCHED, f"{error}. The run may go on; see {run.page}")


def _report(report: Report, run: Run, outcome: Outcome) -> None:
    """Says how the run ended."""
    report.state, report.failures = outcome.state, outcome.failures
    report.pushed, report.none_passed = outcome.pushed, outcome.none_passed
    if outcome.state == "SUCCEEDED" and outcome.none_passed:
        report.end(
            EXIT_NONE_PASSED,
            "No candidate passed the gate; nothing was pushed. The selector's report says why.",
        )
    elif outcome.state == "SUCCEEDED":
        where = f"pushed to {outcome.pushed}" if outcome.pushed else _UNKNOWN_WINNER
        report.end(EXIT_PUSHED, f"Run {run.name} succeeded; {where}")
    elif outcome.state in ("CANCELED", "SKIPPED"):
        report.end(
            EXIT_NODE_FAILED,
            f"Run {run.name} was {outcome.state.lower()} before it finished; see {run.page}",
        )
    else:
        lines = [failure_text(failure, run) for failure in outcome.failures]
        lines.append("Nothing was pushed. Fix the problem and submit again; finished tasks are cached.")
        report.end(EXIT_NODE_FAILED, "\n".join(lines))


_UNKNOWN_WINNER = (
    "the server does not say whether a candidate passed: see the pusher's log or the selector's report"
)


def failure_text(failure: Failure, run: Run) -> str:
    """What failed and why, in one sentence."""
    if failure.message:
        why = failure.message
    elif failure.pods:
        why = f"KFP gives no reason; see kubectl logs -n {run.namespace or 'kubeflow'} {failure.pods[-1]} -c main"
    else:
        why = f"KFP gives no reason; see {run.page}"
    return f"{f'Task {failure.task}' if failure.task else f'Run {run.name}'} failed: {why}"
