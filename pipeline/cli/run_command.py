"""What `paredown run` does, around the pipeline itself: checks, log, lock, outcome.

Nothing here imports TensorFlow or TFX before a run that needs them.
"""

from __future__ import annotations

import dataclasses
import json
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.base.exit_code import (
    EXIT_INTERRUPTED,
    EXIT_INVALID,
    EXIT_NODE_FAILED,
    EXIT_NONE_PASSED,
    EXIT_PUSHED,
)
from pipeline.cli.refusal import refuse

if TYPE_CHECKING:
    from pipeline.config.config_file import ConfigFile
    from pipeline.config.problem import Problem
    from pipeline.plan.plan import Plan


@dataclasses.dataclass(frozen=True)
class Stopped:
    """A run that did not come to its end.

    Attributes:
        code: Of the process.
        node: The node that failed, if one did.
        message: Why.
        traceback: File with the traceback, if there is one.
        run: Id of the run; None where it did not come to have one.
        report: Page about it, if there is one.
    """

    code: int
    node: str | None
    message: str
    traceback: str | None
    run: str | None = None
    report: str | None = None


def run(file: ConfigFile, planned: Plan, cached: set[str], as_json: bool) -> int:
    """Checks, runs and reports; ends the program where something is wrong before it begins.

    Args:
        file: The config.
        planned: Made from it.
        cached: Ids of nodes that are done.
        as_json: Whether the outcome is printed for scripts.

    Returns:
        The exit code.
    """
    from pipeline import environment
    from pipeline.base import log_file
    from pipeline.base.console import make_console
    from pipeline.plan import model_source
    from pipeline.plan.table import plan_summary
    from pipeline.run import lock as run_lock

    environment.prepare()
    if file.config.model.module is not None:
        module_file = model_source.find_module(file.config.model.module, file.path)
        assert module_file is not None  # checks.check has refused it otherwise
        environment.make_importable(module_file, file.config.model.module)

    started = time.strftime("%Y%m%d-%H%M%S")
    console = make_console(stderr=True)
    problems = _preflight(file, planned, cached, console)
    if problems:
        refuse(problems, as_json)

    root = Path(file.config.pipeline_root).absolute()
    log = root / "logs" / f"{started}.log"
    with log_file.output_to(log) as (_, err):
        console = make_console(err)
        with run_lock.hold(root) as held:
            if not held:
                console.print(
                    f"Another run is using {root}; wait for it, or give this one a run.pipeline_root of its own",
                    markup=False,
                )
                return EXIT_INVALID
            console.print(f"Running {file.config.name}: {plan_summary(planned, cached)}")
            console.print(f"Libraries log to {log}", style="dim", markup=False, soft_wrap=True)
            begun: list[str] = []
            outcome = _run_logged(file, planned, console, log, begun)
            run_id = begun[0] if begun else None
            page = _write_report(file, run_id, root, console)
            if page:
                console.print(f"Report: {page}", markup=False, soft_wrap=True)
    if isinstance(outcome, Stopped):
        outcome = dataclasses.replace(outcome, run=run_id, report=page)
        if as_json:
            click.echo(json.dumps({"error": dataclasses.asdict(outcome)}, indent=2))
        return outcome.code
    return _report(outcome, log, page, as_json)


def _write_report(file: ConfigFile, run_id: str | None, root: Path, console: Any) -> str | None:
    """Writes the page about a run; what goes wrong with it does not change how the run ended."""
    if run_id is None:
        return None
    page = root / "reports" / f"{run_id.replace(':', '')}.html"
    try:
        from pipeline import report
        from pipeline.store.connection import connect
        from pipeline.store.reader import Reader

        reader = Reader(connect(file.config.metadata_url))
        found = reader.run(run_id)
        if found is None:
            return None
        report.write(reader, found, page)
    except Exception as error:
        traceback.print_exc()  # to the log
        console.print(f"No report was written: {type(error).__name__}: {error}", markup=False)
        return None
    return str(page)


def _preflight(file: ConfigFile, planned: Plan, cached: set[str], console: Any) -> list[Problem]:
    """Imports what a run needs and checks what needs it; leaves no trace where something is wrong."""
    import tempfile

    from pipeline.base import log_file

    with (
        tempfile.TemporaryDirectory(prefix="paredown-") as folder,
        log_file.output_to(Path(folder) / "imports.log") as (_, err),
    ):
        from pipeline.base.console import make_console

        console = make_console(err)
        with console.status("Importing TensorFlow and TFX, checking data and models …"):
            from pipeline.checks import preflight

            return preflight.check(file, planned, cached)


def _run_logged(file: ConfigFile, planned: Plan, console: Any, log: Path, begun: list[str]) -> Any:
    """Runs, with output going to the log; returns a RunResult, or how it was stopped.

    Args:
        file: The config.
        planned: Made from it.
        console: For people.
        log: For libraries.
        begun: Gets the run's id.
    """
    from components.common.base.interruption import Interrupted
    from pipeline.run import local_runner, provenance
    from pipeline.run.display import RunDisplay

    display = RunDisplay(console, planned)
    try:
        made_of = provenance.collect(file.config, file.path)
        return local_runner.run(planned, file.config, made_of, display, begun.append)
    except local_runner.NodeFailed as error:
        display.close()
        saved = log.with_name(f"{log.stem}-{error.node}-traceback.txt")
        saved.write_text(traceback.format_exc(), encoding="utf-8")
        console.print(f"[bold red]Node {error.node} failed:[/] ", end="")
        told = error.reason()
        console.print(told, markup=False, soft_wrap=True)
        console.print(f"Traceback: {saved}", markup=False, soft_wrap=True)
        console.print("Nothing was pushed. When it is mended, run again: finished nodes are cached.")
        return Stopped(EXIT_NODE_FAILED, error.node, told, str(saved))
    except (Interrupted, KeyboardInterrupt):
        display.close()
        console.print("Interrupted. Nothing was pushed; run again to go on from here.")
        return Stopped(EXIT_INTERRUPTED, None, "interrupted", None)
    finally:
        display.close()


def _report(result: Any, log: Path, page: str | None, as_json: bool) -> int:
    """Prints the outcome of a run that came to its end."""
    from pipeline.base.console import make_console
    from pipeline.run.verdict_table import verdict_table

    code = EXIT_PUSHED if result.pushed else EXIT_NONE_PASSED
    if as_json:
        click.echo(
            json.dumps(
                {
                    **result.report,
                    "pushed": result.pushed,
                    "pushed_now": result.pushed_now,
                    "nodes": {
                        node: {"state": state, "seconds": round(result.seconds[node], 3)}
                        for node, state in result.nodes.items()
                    },
                    "run": result.run_id,
                    "log": str(log),
                    "report": page,
                },
                indent=2,
            )
        )
        return code
    console = make_console()
    console.print(verdict_table(result.report, console.width))
    if result.pushed:
        when = "pushed to" if result.pushed_now else "was pushed before, to"
        console.print(result.report["winner"], style="bold green", end=" ")
        console.print(f"{when} {result.pushed}", markup=False, soft_wrap=True)
    else:
        console.print("[bold red]No candidate passed the gate; nothing was pushed.[/]")
        for name, verdict in result.report["candidates"].items():
            for reason in verdict["reasons"]:
                console.print(f"  {name}: {reason}", markup=False)
    return code
