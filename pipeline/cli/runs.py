"""`paredown runs`."""

from __future__ import annotations

import json
from datetime import datetime

import click

from pipeline.api import listing
from pipeline.base.console import make_console
from pipeline.cli import options
from pipeline.store.state import RUN_STATES

_STATUSES = [state.value for state in RUN_STATES]


@click.command(epilog="Exit codes: 0 listed, 2 there is no store, or it cannot be read.")
@options.in_store
@click.option("--status", type=click.Choice(_STATUSES), help="Show only runs with this status.")
@click.option(
    "--since",
    metavar="WHEN",
    callback=options.moment,
    help="Show only runs since WHEN: 2026-11-22, 12h, 7d …",
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=20,
    help="Show at most this many runs; 0 shows all.  [default: 20]",
)
@options.as_json
def runs(
    metadata: str | None,
    config: str | None,
    status: str | None,
    since: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """List runs, newest first.

    Shows when each run started, its config, what ran, which candidate won, and what was pushed. A run that was
    killed is listed as interrupted, one that has not ended as running.

    \b
    Examples:
      paredown runs
      paredown runs --config mnist --since 7d
      paredown runs --status failed --json | jq -r '.runs[].id'
    """
    found = listing.runs(config, metadata, status, since, limit or None)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
        return
    if not found:
        click.echo("No such run." if status or since or config else "No run yet.")
        return
    found.show(make_console())
    if limit and len(found) == limit:
        click.echo(f"The newest {limit} runs; --limit 0 shows all.")
