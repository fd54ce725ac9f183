"""The command line. Nothing here imports TensorFlow or TFX before a run that needs them."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pipeline.config_file import ConfigFile, Problem
    from pipeline.plan import Plan

EXIT_PUSHED = 0
EXIT_INVALID = 2
EXIT_NODE_FAILED = 3
EXIT_NONE_PASSED = 4
EXIT_INTERRUPTED = 130


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


_EXIT_CODES = f"""\b
Exit codes:
  {EXIT_PUSHED}    the winner is pushed
  {EXIT_INVALID}    invalid input; nothing was written
  {EXIT_NODE_FAILED}    a node failed; its traceback is saved
  {EXIT_NONE_PASSED}    everything ran, but no candidate passed the gate
  {EXIT_INTERRUPTED}  interrupted; run again to go on from there"""

_overrides = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a key of the config, e.g. --set gate.size.max_ratio=0.5 "
    "or --set candidates.int8.0.convert.io=float32.",
)
_only = click.option(
    "--only",
    multiple=True,
    metavar="CANDIDATE",
    help="Leave out all other candidates; may be repeated.",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts to read.")
_config = click.argument("config", type=click.Path(path_type=Path))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="paredown")
def main() -> None:
    """Make a Keras model smaller and faster, within a budget that you set.

    One YAML file says which data and model to use, which optimized candidates to build (pruned,
    quantized, distilled …) and which limits on accuracy, latency and size they must meet. Paredown
    trains, builds and compares them as TFX pipeline nodes and pushes the best that passes.

    \b
    Typical use:
      paredown validate configs/mnist/pipeline.yaml    # is the file right?
      paredown plan configs/mnist/pipeline.yaml        # what would run, what is cached?
      paredown run configs/mnist/pipeline.yaml         # run it
    """


@main.command(epilog="Exit codes: 0 valid, 2 not.")
@_config
@_overrides
@_as_json
def validate(config: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check a config: keys, types, steps, files, functions, metric. Takes under a second.

    Each mistake is one line: file, line, key, what was expected, and the nearest valid name.

    \b
    Examples:
      paredown validate configs/mnist/pipeline.yaml
      paredown validate configs/mnist/pipeline.yaml --set gate.latency.max_ratio=0.5
      paredown validate my.yaml --json | jq '.problems[].message'
    """
    file = _load(config, overrides, (), as_json)
    if as_json:
        click.echo(json.dumps({"valid": True, "problems": []}))
        return
    count = len(file.config.candidates)
    click.echo(f"{config} is valid: {count} candidate{'s' if count != 1 else ''}")


@main.command(epilog="Exit codes: 0 planned, 2 invalid input.")
@_config
@_overrides
@_only
@_as_json
def plan(config: Path, overrides: tuple[str, ...], only: tuple[str, ...], as_json: bool) -> None:
    """Show what a run would do: the nodes, which are shared, which are cached. Takes under a second.

    \b
    Examples:
      paredown plan configs/mnist/pipeline.yaml
      paredown plan configs/mnist/pipeline.yaml --only int8 --only qat-int8
      paredown plan configs/mnist/pipeline.yaml --json | jq '.nodes[] | select(.cached | not) | .id'
    """
    file = _load(config, overrides, only, as_json)
    planned, cached = _plan(file)
    if as_json:
        click.echo(json.dumps(_plan_json(planned, cached), indent=2))
        return
    from pipeline import terminal

    console = terminal.make_console()
    console.print(terminal.plan_table(planned, cached))
    console.print(terminal.plan_summary(planned, cached))


@main.command(epilog=_EXIT_CODES)
@_config
@_overrides
@_only
@_as_json
def run(config: Path, overrides: tuple[str, ...], only: tuple[str, ...], as_json: bool) -> None:
    """Run a config: train, build the candidates, judge them, push the best that passes.

    What an earlier run has done and nothing has changed since is taken from the cache; after a failure
    or Ctrl-C, the same command goes on where it stopped.

    \b
    Examples:
      paredown run configs/mnist/pipeline.yaml
      paredown run configs/mnist/pipeline.yaml --only int8 --set gate.accuracy.max_drop=0.01
      paredown run configs/mnist/pipeline.yaml --json > result.json
    """
    file = _load(config, overrides, only, as_json)
    planned, cached = _plan(file)
    try:
        code = _run(file, planned, cached, as_json)
    except KeyboardInterrupt:  # while importing or checking; a run has its own way to stop
        click.echo("Interrupted before anything was run.", err=True)
        code = EXIT_INTERRUPTED
    sys.exit(code)


@main.command()
def schema() -> None:
    """Print the JSON Schema of a config, for editors that complete and check YAML.

    \b
    Example:
      paredown schema > paredown.schema.json
    and in the config's first line: # yaml-language-server: $schema=paredown.schema.json
    """
    from pipeline.config import Config

    click.echo(json.dumps(Config.model_json_schema(), indent=2))


def _load(path: Path, overrides: tuple[str, ...], only: tuple[str, ...], as_json: bool) -> ConfigFile:
    """Reads a config and checks all that can be checked without TensorFlow; ends the program if wrong."""
    from pipeline import checks
    from pipeline.config_file import ConfigError, Problem, load, nearest

    try:
        file = load(path, list(overrides))
        unknown = [name for name in only if name not in file.config.candidates]
        if unknown:
            known = list(file.config.candidates)
            raise ConfigError(
                [
                    Problem(
                        f"no candidate {name!r}{nearest(name, known)}; there are {', '.join(known)}",
                        (),
                        "--only",
                    )
                    for name in unknown
                ]
            )
        problems = checks.check(file)
        if problems:
            raise ConfigError(problems)
    except ConfigError as error:
        _refuse(error.problems, as_json)
    if only:
        file = dataclasses.replace(file, config=file.config.only(list(only)))
    return file


def _refuse(problems: list[Problem], as_json: bool) -> None:
    """Prints problems and ends the program."""
    if as_json:
        rows = [{"file": p.file, "line": p.line, "key": p.key(), "message": p.message} for p in problems]
        click.echo(json.dumps({"valid": False, "problems": rows}, indent=2))
    else:
        for problem in problems:
            click.echo(str(problem), err=True)
    sys.exit(EXIT_INVALID)


def _plan(file: ConfigFile) -> tuple[Plan, set[str]]:
    from pipeline.cache import cached_nodes
    from pipeline.metadata_store import MetadataStore
    from pipeline.plan import make_plan

    planned = make_plan(file.config, file.path)
    store = MetadataStore(os.path.abspath(file.config.metadata_path), planned.name)
    return planned, set(cached_nodes(planned, store))


def _plan_json(planned: Plan, cached: set[str]) -> dict[str, Any]:
    return {
        "name": planned.name,
        "nodes": [
            {
                "id": node.id,
                "component": node.component,
                "inputs": {key: f"{source.node}.{source.key}" for key, source in node.inputs.items()},
                "parameters": node.parameters,
                "candidates": list(node.candidates),
                "trains": node.trains,
                "cached": node.id in cached,
            }
            for node in planned.nodes
        ],
    }


def _run(file: ConfigFile, planned: Plan, cached: set[str], as_json: bool) -> int:
    from pipeline import environment, log_file, model_source, run_lock, terminal

    environment.prepare()
    module_file = model_source.find_module(file.config.model.module, file.path)
    assert module_file is not None  # checks.check has refused it otherwise
    environment.make_importable(module_file, file.config.model.module)

    started = time.strftime("%Y%m%d-%H%M%S")
    console = terminal.make_console(stderr=True)
    problems = _preflight(file, planned, cached, console)
    if problems:
        _refuse(problems, as_json)

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


if __name__ == "__main__":
    main()
