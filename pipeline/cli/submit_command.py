"""What `paredown submit` does, around the requests themselves: reads or compiles, submits, follows, reports.

A compiled file is submitted without importing TensorFlow or TFX.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.base.exit_code import (
    EXIT_INTERRUPTED,
    EXIT_NODE_FAILED,
    EXIT_NONE_PASSED,
    EXIT_PUSHED,
    EXIT_UNWATCHED,
)
from pipeline.cli.refusal import refuse
from pipeline.config.config_file import Problem
from pipeline.kubeflow.connection import Connection, ConnectionProblem
from pipeline.kubeflow.package import Package, PackageError
from pipeline.kubeflow.parameters import DATA_FINGERPRINT
from pipeline.kubeflow.server import Server, ServerError
from pipeline.kubeflow.submission import Started, SubmissionError
from pipeline.kubeflow.watch import Change, Failure, LostContact, Outcome, TimedOut, Watch

if TYPE_CHECKING:
    from pipeline.kubeflow.package import Fingerprint

_PUSHER = "pusher"
_STYLES = {
    "succeeded": "green",
    "cached": "dim",
    "failed": "bold red",
    "canceled": "red",
    "running": "yellow",
}


@dataclass(frozen=True)
class Request:
    """What is asked for; attributes are named after the command's options.

    Attributes:
        source: A config, or a compiled file.
        limit: Seconds to wait; None without end.
        tick: Seconds between two looks at the run.
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
class _Progress:
    """How far a submission has come, for whoever stops it."""

    report: dict[str, Any] = field(default_factory=dict)
    starting: bool = False
    run: Started | None = None


def submit(request: Request) -> int:
    """Submits; ends the program where that is refused before a run is started.

    Returns:
        The exit code.
    """
    progress = _Progress()
    try:
        code = _submit(request, progress)
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
        if progress.run:
            _end(progress, code, f"Interrupted. The run goes on; look at it: {progress.run.page}")
        elif progress.starting:
            _end(progress, code, "Interrupted while the run was started; look whether there is one.")
        else:
            _end(progress, code, "Interrupted; no run was started.")
    if request.as_json:
        click.echo(json.dumps(progress.report, indent=2))
    return code


def _submit(request: Request, progress: _Progress) -> int:
    from pipeline.kubeflow import package as kubeflow_package
    from pipeline.kubeflow import submission as kubeflow_submission

    try:
        package, own = _package(request)
        values = kubeflow_package.arguments(package, request.parameters)
        fingerprint = kubeflow_package.data_fingerprint(package, values, request.data, own)
        if fingerprint.value is not None:
            values[DATA_FINGERPRINT] = fingerprint.value
    except PackageError as error:
        refuse([Problem(str(error), file=str(request.source))], request.as_json)
    try:
        server = Server(request.connection)
        namespace = kubeflow_submission.namespace_of(server, request.namespace)
        stored = kubeflow_submission.store(server, package, namespace)
        wanted = _experiment(request, package)
        experiment_id, new_experiment = kubeflow_submission.experiment(server, wanted, namespace)
        name = request.run_name or f"{package.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        progress.starting = True
        run = kubeflow_submission.start(
            server,
            stored,
            experiment_id,
            name,
            values,
            # A config is compiled with it.
            pipeline_root=request.pipeline_root if own is None else None,
            service_account=request.service_account,
        )
    except (ConnectionProblem, SubmissionError) as error:
        refuse([Problem(str(error))], request.as_json)
    except ServerError as error:
        if not (progress.starting and error.sent):
            refuse([Problem(str(error))], request.as_json)
        page = f"{server.page}/#/experiments/details/{experiment_id}"
        return _end(
            progress, EXIT_UNWATCHED, f"{error}. Whether the run was started is not known; look at {page}"
        )
    progress.run = run
    progress.report.update(
        pipeline={
            "id": stored.pipeline_id,
            "name": package.name,
            "new": stored.new_pipeline,
            "version_id": stored.version_id,
            "version": stored.version,
            "new_version": stored.new_version,
        },
        experiment={"id": experiment_id, "name": wanted, "new": new_experiment},
        run={"id": run.run_id, "name": run.name, "page": run.page, "namespace": namespace},
        parameters={**kubeflow_package.defaults(package), **values},
        data=fingerprint.folder,
    )
    if not request.as_json:
        _tell_submission(progress.report)
    _tell_fingerprint(request, fingerprint)
    if request.as_json:
        click.echo(f"Run: {run.page}", err=True)
    else:
        click.echo(run.page)
    return _wait(request, server, package, progress) if request.wait else EXIT_PUSHED


def _package(request: Request) -> tuple[Package, str | None]:
    """What is submitted, and the data.path of the config that it was compiled from, if it was just now."""
    from pipeline.kubeflow import package as kubeflow_package

    if kubeflow_package.is_compiled(request.source):
        for option, given in (
            ("--image", request.image),
            ("--set", request.overrides),
            ("--only", request.only),
        ):
            if given:
                raise PackageError(
                    f"is compiled already, so that {option} comes too late; give the config with it"
                )
        try:
            return kubeflow_package.read(request.source.read_text(encoding="utf-8")), None
        except OSError as error:
            raise PackageError(f"cannot be read: {error.strerror}") from None
    return _compiled(request)


def _compiled(request: Request) -> tuple[Package, str]:
    from pipeline.cli.checked_config import load_checked
    from pipeline.kubeflow import compile as compile_command
    from pipeline.kubeflow import package as kubeflow_package
    from pipeline.plan.plan import make_plan

    file = load_checked(request.source, request.overrides, request.only, request.as_json)
    missing = [
        option
        for option, given in (("--image", request.image), ("--pipeline-root", request.pipeline_root))
        if not given
    ]
    if missing:
        raise PackageError(f"is a config, which is compiled first; give {' and '.join(missing)}")
    whole = load_checked(request.source, request.overrides, (), request.as_json) if request.only else file
    image, root = str(request.image), str(request.pipeline_root)
    problems = compile_command.problems_of(whole, "kubeflow", image, root, "-")
    if problems:
        refuse(problems, request.as_json)
    try:
        compiled = compile_command.compile_config(
            file, make_plan(file.config, file.path), "kubeflow", image, root
        )
    except compile_command.CompileError as error:
        raise PackageError(str(error)) from None
    for note in compile_command.notes(file):
        click.echo(note, err=True)
    return kubeflow_package.read(compiled.text()), file.config.data.path


def _experiment(request: Request, package: Package) -> str:
    """As KFP's client: a variable is the default, and another one overrides whatever is given."""
    wanted = request.experiment or os.environ.get("KF_PIPELINES_DEFAULT_EXPERIMENT_NAME") or package.name
    return os.environ.get("KF_PIPELINES_OVERRIDE_EXPERIMENT_NAME") or wanted


def _tell_submission(report: dict[str, Any]) -> None:
    pipeline, experiment = report["pipeline"], report["experiment"]
    version = "new version" if pipeline["new_version"] else "version, there before,"
    click.echo(
        f"{'New pipeline' if pipeline['new'] else 'Pipeline'} {pipeline['name']}, {version} {pipeline['version']}, "
        f"{'new experiment' if experiment['new'] else 'experiment'} {experiment['name']}",
        err=True,
    )


def _tell_fingerprint(request: Request, fingerprint: Fingerprint) -> None:
    given = any(text.startswith(f"{DATA_FINGERPRINT}=") for text in request.parameters)
    if fingerprint.value is not None and fingerprint.folder is None and not given:
        click.echo(
            "The data's fingerprint is the one of when it was compiled, as data_path is no folder here: if they "
            "changed since, KFP's cache does not know; give --data FOLDER, or --param data_fingerprint=TEXT",
            err=True,
        )


def _wait(request: Request, server: Server, package: Package, progress: _Progress) -> int:
    from pipeline.base.console import make_console

    console = make_console(stderr=True)
    tasks = package.tasks()
    started = time.monotonic()
    ended: set[str] = set()

    def show(change: Change) -> None:
        if change.state not in ("pending", "running"):
            ended.add(change.task)
        minutes, seconds = divmod(int(time.monotonic() - started), 60)
        took = f"{change.seconds:8.1f} s" if change.seconds is not None else " " * 10
        console.print(
            f"{len(ended):3}/{len(tasks)}  {change.task:{max(map(len, tasks))}}  "
            f"[{_STYLES.get(change.state, 'dim')}]{change.state:9}[/]  {took}  [dim]{minutes}:{seconds:02}[/]"
        )

    assert progress.run is not None
    watch = Watch(
        server=server,
        run_id=progress.run.run_id,
        tasks=tasks,
        pusher=_PUSHER if _PUSHER in tasks else None,
        changed=show,
        noticed=lambda text: console.print(text, markup=False),
        tick=request.tick,
        limit=request.limit,
    )
    page = progress.run.page
    try:
        outcome = watch.until_end()
    except TimedOut:
        text = f"Not done after {request.limit:g} s (--timeout). The run goes on; look at it: {page}"
        return _end(progress, EXIT_UNWATCHED, text, watch.states)
    except (LostContact, ServerError, ConnectionProblem) as error:
        return _end(
            progress, EXIT_UNWATCHED, f"{error}. The run may go on; look at it: {page}", watch.states
        )
    except KeyboardInterrupt:
        progress.report["tasks"] = watch.states
        raise
    return _report(progress, outcome)


def _report(progress: _Progress, outcome: Outcome) -> int:
    """Tells how a run ended."""
    assert progress.run is not None
    name, page = progress.run.name, progress.run.page
    progress.report.update(
        state=outcome.state,
        failures=[dataclasses.asdict(failure) for failure in outcome.failures],
        pushed=outcome.pushed,
        none_passed=outcome.none_passed,
    )
    if outcome.state == "SUCCEEDED":
        if outcome.none_passed:
            text = "No candidate passed the gate; nothing was pushed. The selector's report says why."
            return _end(progress, EXIT_NONE_PASSED, text, outcome.tasks)
        if outcome.pushed:
            told = f"pushed to {outcome.pushed}"
        else:
            told = "the server does not tell whether a candidate passed: see the pusher's log, or the selector's report"
        return _end(progress, EXIT_PUSHED, f"Run {name} succeeded; {told}", outcome.tasks)
    if outcome.state in ("CANCELED", "SKIPPED"):
        text = f"Run {name} was {outcome.state.lower()}; nothing is known to be pushed. {page}"
        return _end(progress, EXIT_NODE_FAILED, text, outcome.tasks)
    lines = []
    for failure in outcome.failures:
        subject = f"Task {failure.task}" if failure.task else f"Run {name}"
        lines.append(f"{subject} failed: {failure.message or _where_to_look(progress, failure)}")
    lines.append("Nothing was pushed. When it is mended, submit again: what is done is cached.")
    return _end(progress, EXIT_NODE_FAILED, "\n".join(lines), outcome.tasks)


def _where_to_look(progress: _Progress, failure: Failure) -> str:
    run = progress.report["run"]
    if not failure.pods:
        return f"KFP says no more; see {run['page']}"
    namespace = run["namespace"] or "kubeflow"
    return f"KFP says no more; see its log: kubectl logs -n {namespace} {failure.pods[-1]} -c main"


def _end(progress: _Progress, code: int, text: str, tasks: dict[str, str] | None = None) -> int:
    """Says how it ended, on the screen and in the report."""
    progress.report.update(code=code, message=text)
    if tasks is not None:
        progress.report["tasks"] = dict(tasks)
    click.echo(text, err=True)
    return code
