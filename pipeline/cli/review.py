"""The commands that read what runs left in ML Metadata. None of them imports TensorFlow or TFX."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.base.exit_code import EXIT_CHANGED, EXIT_INVALID
from pipeline.store.state import RUN_STATES

if TYPE_CHECKING:
    from pipeline.lineage.graph import Graph
    from pipeline.lineage.store_choice import Choice
    from pipeline.lineage.target import Target
    from pipeline.store.reader import Reader

_STATUSES = [state.value for state in RUN_STATES]


def in_store(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say which metadata store a command looks into."""
    for option in (
        click.option(
            "--config",
            "config",
            metavar="NAME|FILE",
            help="Only this pipeline: its name, or its YAML file, whose store is then looked into.",
        ),
        click.option(
            "--metadata",
            metavar="URL",
            envvar="PAREDOWN_METADATA",
            help="The store, as run.metadata has it, or an SQLite file; all of .paredown/*/metadata.sqlite "
            "where it is not given.  [env: PAREDOWN_METADATA]",
        ),
    ):
        command = option(command)
    return command


def _moment(context: click.Context, option: click.Parameter, text: str | None) -> datetime | None:
    from pipeline.base.since import parse

    try:
        return parse(text) if text else None
    except ValueError as error:
        raise click.BadParameter(str(error), context, option) from None


as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts to read.")


@click.command(epilog="Exit codes: 0 listed, 2 there is no store, or it cannot be read.")
@in_store
@click.option("--status", type=click.Choice(_STATUSES), help="Only runs with this status.")
@click.option("--since", metavar="WHEN", callback=_moment, help="Only runs since 2026-11-22, 12h, 7d …")
@click.option("--limit", type=click.IntRange(min=0), default=20, help="So many at most, 0 for all.  [20]")
@as_json_option
def runs(
    metadata: str | None,
    config: str | None,
    status: str | None,
    since: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """List runs, newest first: when, which config, what ran, who won, what was pushed.

    A run that was killed shows as interrupted; one that goes on, as running.

    \b
    Examples:
      paredown runs
      paredown runs --config mnist --since 7d
      paredown runs --status failed --json | jq -r '.runs[].id'
    """
    with refusing(as_json):
        choice = _choose(metadata, config)
        found = [
            run
            for _, reader in choice.stores()
            for run in reader.runs(choice.pipeline, status, since, limit or None)
        ]
    found.sort(key=lambda run: run.started, reverse=True)
    found = found[:limit] if limit else found
    from pipeline.lineage import runs_table

    if as_json:
        click.echo(json.dumps({"runs": [runs_table.to_json(run) for run in found]}, indent=2))
        return
    if not found:
        click.echo("No such run." if status or since or config else "No run yet.")
        return
    from pipeline.base.console import make_console

    make_console().print(runs_table.runs_table(found))
    if limit and len(found) == limit:
        click.echo(f"The newest {limit}; --limit 0 shows all.")


def _choose(metadata: str | None, config: str | None) -> Choice:
    from pipeline.lineage.store_choice import choose

    return choose(metadata, config)


@contextmanager
def refusing(as_json: bool = False) -> Iterator[None]:
    """Ends the program with one line where a store, a target or a config is wrong."""
    try:
        yield
    except Exception as error:
        from pipeline.cli.refusal import refuse
        from pipeline.config.metadata_url import StoreError
        from pipeline.config.problem import ConfigError, Problem
        from pipeline.gc.needs import GarbageError
        from pipeline.lineage.store_choice import ChoiceError
        from pipeline.lineage.target import TargetError

        if isinstance(error, ConfigError):
            refuse(error.problems, as_json)
        if isinstance(error, (ChoiceError, GarbageError, TargetError, StoreError)):
            refuse([Problem(str(error))], as_json)
        raise


@click.command(
    epilog=f"Exit codes: 0 shown, {EXIT_CHANGED} files are not as they were recorded, {EXIT_INVALID} no such "
    "target."
)
@click.argument("target")
@in_store
@click.option("--down", is_flag=True, help="Walk downstream: what was made from it?")
@click.option(
    "--format",
    "form",
    type=click.Choice(["tree", "json", "mermaid", "openlineage"]),
    default="tree",
    help="tree for the screen, mermaid for a flowchart, openlineage for OpenLineage run events.  [tree]",
)
def lineage(target: str, metadata: str | None, config: str | None, down: bool, form: str) -> None:
    """Show what a model was made from, back to the data, or what was made from something.

    TARGET is a pushed model's folder (of several versions, the newest), a model file (found by the hash
    of its content), an artifact's folder or id, a run's id, or `latest`. Files that are not what was
    recorded are told.

    \b
    Examples:
      paredown lineage serving/mnist                        # where does the newest version come from?
      paredown lineage model.tflite                         # and this file, whatever it is called?
      paredown lineage latest --format mermaid > lineage.mmd
      paredown lineage 1 --down                             # what was built from these examples?
    """
    with refusing(form == "json"):
        from pipeline.lineage import graph as graphs
        from pipeline.lineage.store_choice import find_target

        choice = _choose(metadata, config)
        url, reader, found = find_target(choice, target)
        walk = graphs.downstream if down else graphs.upstream
        graph = walk(reader, found.artifacts)
        _show_lineage(url, reader, graph, found, down, form)
    if found.tampered():
        sys.exit(EXIT_CHANGED)


def _show_lineage(url: str, reader: Reader, graph: Graph, found: Target, down: bool, form: str) -> None:
    """Prints a graph in one of the formats; what was found out about the target goes with it."""
    ids = {run for execution in graph.executions.values() for run in execution.runs}
    runs = reader.runs_by_id(ids | ({found.run.id} if found.run else set()))
    if form == "tree":
        from pipeline.base.console import make_console
        from pipeline.lineage import tree as lineage_tree

        shown = lineage_tree.tree(graph, runs, found.notes, down, reader.documents(runs))
        make_console().print(shown)
        return
    from pipeline.lineage import formats as lineage_formats
    from pipeline.lineage import open_lineage

    if form == "json":
        text = lineage_formats.to_json(graph, runs, reader.documents(runs), found.notes)
    elif form == "mermaid":
        text = lineage_formats.to_mermaid(graph, found.notes)
    else:
        text = "\n".join(open_lineage.events(graph, url, runs, reader.documents(runs)))
    click.echo(text.rstrip("\n"))
    if form != "json":  # which has them in it
        for note in found.notes:
            if note.kind != "ok":
                click.echo(f"{note.kind.upper()}: {note.text}", err=True)


@click.command(epilog="Exit codes: 0 compared, 1 with --exit-code where they differ, 2 no such run.")
@click.argument("first", metavar="RUN")
@click.argument("second", metavar="RUN")
@in_store
@click.option("--exit-code", is_flag=True, help="Exit with 1 where something differs, as git diff does.")
@as_json_option
def diff(
    first: str, second: str, metadata: str | None, config: str | None, exit_code: bool, as_json: bool
) -> None:
    """Show what differs between two runs: config, code, environment, data, metrics, verdicts.

    A RUN is a run's id, the beginning of one that no other has, or `latest`.

    \b
    Examples:
      paredown diff 2026-11-22T08 latest
      paredown diff 2026-11-22T08 latest --json | jq '.sections[] | select(.state != "equal")'
    """
    with refusing(as_json):
        from pipeline.diff import difference as run_diff
        from pipeline.lineage.store_choice import find_run

        choice = _choose(metadata, config)
        (_, first_reader, first_run), (_, second_reader, second_run) = (
            find_run(choice, text) for text in (first, second)
        )
        compared = run_diff.diff(first_reader, first_run, second_reader, second_run)
    if as_json:
        click.echo(json.dumps(run_diff.to_json(compared), indent=2))
    else:
        from pipeline.base.console import make_console
        from pipeline.diff import table as run_diff_table

        run_diff_table.show(make_console(), compared)
    if exit_code and not compared.equal:
        sys.exit(EXIT_CHANGED)


@click.command(epilog="Exit codes: 0 written, 2 no such run, or it cannot be written.")
@click.argument("run", metavar="RUN", default="latest")
@click.option(
    "--compare", metavar="RUN", help="Put this run beside it, with what differs and both in each chart."
)
@in_store
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    help="The page.  [report.html]",
)
def report(run: str, compare: str | None, metadata: str | None, config: str | None, output: Path) -> None:
    """Write a run's report: one HTML page that opens from disk, without a network.

    The verdict, candidates against limits, accuracy against size and latency, learning curves, layers,
    slices, lineage, the config, and how to load the model. `run` writes one, too, into the `reports` of
    its pipeline root. Of a run that failed or pushed nothing it says what to try.

    \b
    Examples:
      paredown report                                   # of the latest run
      paredown report 2026-11-22T08 -o morning.html
      paredown report --compare 2026-11-22T08 latest -o difference.html
    """
    from pipeline.cli.refusal import refuse
    from pipeline.config.problem import Problem

    with refusing():
        from pipeline import report as pages
        from pipeline.lineage.store_choice import find_run

        choice = _choose(metadata, config)
        try:
            if compare is None:
                _, reader, found = find_run(choice, run)
                pages.write(reader, found, output)
            else:
                _, reader_a, run_a = find_run(choice, compare)
                _, reader_b, run_b = find_run(choice, run)
                pages.write_comparison(reader_a, run_a, reader_b, run_b, output)
        except pages.ReportError as error:
            refuse([Problem(str(error))], False)
    click.echo(f"Written to {output}")


@click.command(
    epilog=f"Exit codes: 0 done, {EXIT_CHANGED} something could not be removed, {EXIT_INVALID} no such run or "
    "store, or a run is going on."
)
@in_store
@click.option(
    "--keep-runs", type=click.IntRange(min=0), default=3, help="The newest of each pipeline are kept.  [3]"
)
@click.option("--keep-since", metavar="WHEN", callback=_moment, help="And all since: 2026-11-22, 12h, 7d …")
@click.option("--keep", metavar="RUN", multiple=True, help="And this run; may be repeated.")
@click.option("--delete", is_flag=True, help="Really remove it; without, only tell.")
@click.option("--each", is_flag=True, help="List each artifact by itself.")
@as_json_option
def gc(
    metadata: str | None,
    config: str | None,
    keep_runs: int,
    keep_since: datetime | None,
    keep: tuple[str, ...],
    delete: bool,
    each: bool,
    as_json: bool,
) -> None:
    """Remove what no pushed model and no kept run needs. Only tells, unless --delete is given.

    What stands pushed keeps all that it was made from; runs that are kept keep all that they made or took
    from the cache. Files of other artifacts go, and so do leftovers of killed runs; ML Metadata keeps its
    record of them, so that runs and lineage still show what was. A later run makes again what it needs.

    \b
    Examples:
      paredown gc                                  # what would go?
      paredown gc --keep-runs 1 --keep-since 7d
      paredown gc --delete
    """
    with refusing(as_json):
        from pipeline.base.console import make_console
        from pipeline.config.metadata_url import parse
        from pipeline.gc import garbage
        from pipeline.gc import removal as garbage_removal
        from pipeline.gc import table as garbage_table
        from pipeline.gc.needs import KeepRules
        from pipeline.lineage.store_choice import find_run

        choice = _choose(metadata, config)
        named = [(kept_in, run) for kept_in, _, run in (find_run(choice, text) for text in keep)]
        outcomes = []
        for url, reader in choice.stores(write=delete):
            kept = tuple(run.id for kept_in, run in named if kept_in == url)
            rules = KeepRules(keep_runs, keep_since, kept, choice.pipeline)
            work = garbage_removal.remove if delete else garbage.plan
            outcomes.append((url, work(reader, rules, parse(url).path)))
    if as_json:
        rows = [{"store": url, **garbage_table.to_json(outcome)} for url, outcome in outcomes]
        click.echo(json.dumps({"stores": rows}, indent=2))
    else:
        console = make_console()
        for url, outcome in outcomes:
            if len(outcomes) > 1:
                console.print(url, markup=False, style="bold")
            garbage_table.show(console, outcome, each)
    if any(getattr(outcome, "failures", None) for _, outcome in outcomes):
        sys.exit(EXIT_CHANGED)


COMMANDS = (runs, lineage, diff, report, gc)
