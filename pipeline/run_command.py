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

from pipeline.exit_code import (
    EXIT_INTERRUPTED,
    EXIT_INVALID,
    EXIT_NODE_FAILED,
    EXIT_NONE_PASSED,
    EXIT_PUSHED,
)
from pipeline.refusal import refuse

if TYPE_CHECKING:
    from pipeline.config_file import ConfigFile, Problem
    from pipeline.plan import Plan


@dataclasses.dataclass(frozen=True)
class Stopped:
    """A run that did not come to its end.

    Attributes:
        code: Of the process.
        node: The node that failed, if one did.
        message: Why.
        traceback: File with the traceback, if there is one.
    """

    code: int
    node: str | None
    message: str
    traceback: str | None


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
    from pipeline import environment, log_file, model_source, run_lock, terminal

    environment.prepare()
    module_file = model_source.find_module(file.config.model.module, file.path)
    assert module_file is not None  # checks.check has refused it otherwise
    environment.make_importable(module_file, file.config.model.module)

    started = time.strftime("%Y%m%d-%H%M%S")
    console = terminal.make_console(stderr=True)
    problems = _preflight(file, planned, cached, console)
    if problems:
        refuse(problems, as_json)

    root = Path(file.config.pipeline_root).absolute()
    log = root / "logs" / f"{started}.log"
    with log_file.output_to(log) as (_, err):
        console = terminal.make_console(err)
        with run_lock.hold(root) as held:
            if not held:
                console.print(
                    f"Another run is using {root}; wait for it, or give this one a run.pipeline_root of its own",
                    markup=False,
                )
                return EXIT_INVALID
            console.print(f"Running {file.config.name}: {terminal.plan_summary(planned, cached)}")
            console.print(f"Libraries log to {log}", style="dim", markup=False, soft_wrap=True)
            outcome = _run_logged(file, planned, console, log)
    if isinstance(outcome, Stopped):
        if as_json:
            click.echo(json.dumps({"error": dataclasses.asdict(outcome)}, indent=2))
        return outcome.code
    return _report(outcome, log, as_json)


def _preflight(file: ConfigFile, planned: Plan, cached: set[str], console: Any) -> list[Problem]:
    """Imports what a run needs and checks what needs it; leaves no trace where something is wrong."""
    import tempfile

    from pipeline import log_file

    with (
        tempfile.TemporaryDirectory(prefix="paredown-") as folder,
        log_file.output_to(Path(folder) / "imports.log") as (_, err),
    ):
        from pipeline import terminal

        console = terminal.make_console(err)
        with console.status("Importing TensorFlow and TFX, checking data and models …"):
            from pipeline import local_runner, preflight  # noqa: F401  (the import is the point)

            return preflight.check(file, planned, cached)


def _run_logged(file: ConfigFile, planned: Plan, console: Any, log: Path) -> Any:
    """Runs, with output going to the log; returns a RunResult, or how it was stopped."""
    from components.common.interruption import Interrupted
    from components.common.user_module import describe
    from pipeline import local_runner, terminal

    display = terminal.RunDisplay(console, planned)
    try:
        return local_runner.run(planned, file.config, display)
    except local_runner.NodeFailed as error:
        display.close()
        saved = log.with_name(f"{log.stem}-{error.node}-traceback.txt")
        saved.write_text(traceback.format_exc(), encoding="utf-8")
        cause = error.__cause__
        while cause is not None and cause.__cause__ is not None:
            cause = cause.__cause__
        console.print(f"[bold red]Node {error.node} failed:[/] ", end="")
        told = describe(cause) if cause else str(error)
        console.print(told, markup=False)
        console.print(f"Traceback: {saved}", markup=False, soft_wrap=True)
        console.print("Nothing was pushed. When it is mended, run again: finished nodes are cached.")
        return Stopped(EXIT_NODE_FAILED, error.node, told, str(saved))
    except (Interrupted, KeyboardInterrupt):
        display.close()
        console.print("Interrupted. Nothing was pushed; run again to go on from here.")
        return Stopped(EXIT_INTERRUPTED, None, "interrupted", None)
    finally:
        display.close()


def _report(result: Any, log: Path, as_json: bool) -> int:
    """Prints the outcome of a run that came to its end."""
    from pipeline import terminal

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
                    "log": str(log),
                },
                indent=2,
            )
        )
        return code
    console = terminal.make_console()
    console.print(terminal.verdict_table(result.report, console.width))
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
