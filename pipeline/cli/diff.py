"""`paredown diff`."""

from __future__ import annotations

import json

import click

from pipeline.base.console import make_console
from pipeline.base.exit_code import EXIT_CHANGED
from pipeline.cli import options
from pipeline.diff import difference, table
from pipeline.lineage.store_choice import choose, find_run


@click.command(
    epilog=f"Exit codes: 0 compared, {EXIT_CHANGED} with --exit-code if they differ, 2 no such run."
)
@click.argument("first", metavar="RUN")
@click.argument("second", metavar="RUN")
@options.in_store
@click.option(
    "--exit-code", is_flag=True, help=f"Exit with {EXIT_CHANGED} if anything differs, as git diff does."
)
@options.as_json
def diff(
    first: str, second: str, metadata: str | None, config: str | None, exit_code: bool, as_json: bool
) -> int | None:
    """Show what differs between two runs.

    Compares config, code, environment, data, metrics and verdicts. A RUN is the id of a run, the beginning of
    an id that no other run has, or `latest`.

    \b
    Examples:
      paredown diff 2026-11-22T08 latest
      paredown diff 2026-11-22T08 latest --json | jq '.sections[] | select(.state != "equal")'
    """
    choice = choose(metadata, config)
    (_, first_reader, first_run), (_, second_reader, second_run) = (
        find_run(choice, text) for text in (first, second)
    )
    compared = difference.diff(first_reader, first_run, second_reader, second_run)
    if as_json:
        click.echo(json.dumps(difference.to_json(compared), indent=2))
    else:
        table.show(make_console(), compared)
    return EXIT_CHANGED if exit_code and not compared.equal else None
