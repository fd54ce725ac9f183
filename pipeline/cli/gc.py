"""`paredown gc`."""

from __future__ import annotations

import json
from datetime import datetime

import click

from pipeline.base.console import make_console
from pipeline.base.exit_code import EXIT_CHANGED, EXIT_INVALID
from pipeline.cli import options
from pipeline.gc import table
from pipeline.gc.collection import collect
from pipeline.gc.removal import Removal
from pipeline.lineage.store_choice import choose


@click.command(
    epilog=f"Exit codes: 0 done, {EXIT_CHANGED} something could not be removed, {EXIT_INVALID} no such run or "
    "store, or a run is in progress."
)
@options.in_store
@click.option(
    "--keep-runs",
    type=click.IntRange(min=0),
    default=3,
    help="Keep this many of the newest runs of each pipeline.  [default: 3]",
)
@click.option(
    "--keep-since",
    metavar="WHEN",
    callback=options.moment,
    help="Also keep runs since WHEN: 2026-11-22, 12h, 7d …",
)
@click.option("--keep", metavar="RUN", multiple=True, help="Also keep this run. Can be repeated.")
@click.option("--delete", is_flag=True, help="Remove the files; without it, only list them.")
@click.option("--each", is_flag=True, help="List each artifact on its own line.")
@options.as_json
def gc(
    metadata: str | None,
    config: str | None,
    keep_runs: int,
    keep_since: datetime | None,
    keep: tuple[str, ...],
    delete: bool,
    each: bool,
    as_json: bool,
) -> int | None:
    """Remove files that are no longer needed.

    Without --delete, it only lists them. It keeps everything that a pushed model was made from, and everything that a
    kept run made or took from the cache. The files of other artifacts are removed, and so are leftovers
    of killed runs. ML Metadata keeps its records, so `runs` and `lineage` still show them. If a later run needs
    a removed artifact, it makes it again.

    \b
    Examples:
      paredown gc                                  # list what would be removed
      paredown gc --keep-runs 1 --keep-since 7d
      paredown gc --delete
    """
    outcomes = collect(choose(metadata, config), keep_runs, keep_since, keep, delete)
    if as_json:
        rows = [{"store": url, **table.to_json(outcome)} for url, outcome in outcomes]
        click.echo(json.dumps({"stores": rows}, indent=2))
    else:
        console = make_console()
        for url, outcome in outcomes:
            if len(outcomes) > 1:
                console.print(url, markup=False, style="bold")
            table.show(console, outcome, each)
    failed = any(isinstance(outcome, Removal) and outcome.failures for _, outcome in outcomes)
    return EXIT_CHANGED if failed else None
