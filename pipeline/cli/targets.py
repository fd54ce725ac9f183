"""`paredown targets`."""

from __future__ import annotations

import json

import click

from pipeline.api import targeting
from pipeline.base.console import make_console
from pipeline.cli import options


@click.command(epilog="Exit codes: 0 shown.")
@options.as_json
def targets(as_json: bool) -> None:
    """List the kinds of targets.

    Shows for each kind what the gate measures, what to install, and which techniques help.

    \b
    Examples:
      paredown targets
      paredown targets --json | jq '.targets[] | .kind'
    """
    found = targeting.targets()
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
    else:
        found.show(make_console())
