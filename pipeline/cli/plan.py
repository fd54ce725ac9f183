"""`paredown plan`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.api import configs, planning
from pipeline.base.console import make_console
from pipeline.cli import options


@click.command(epilog="Exit codes: 0 shown, 2 invalid input.")
@options.config
@options.overrides
@options.only
@options.as_json
def plan(config: Path, overrides: tuple[str, ...], only: tuple[str, ...], as_json: bool) -> None:
    """Show what a run would do and what is cached.

    Lists the nodes, what each of them reads, which candidates share it, and whether its results are cached.
    Takes less than a second.

    \b
    Examples:
      paredown plan configs/mnist/pipeline.yaml
      paredown plan configs/mnist/pipeline.yaml --only int8 --only qat-int8
      paredown plan configs/mnist/pipeline.yaml --json | jq '.nodes[] | select(.cached | not) | .id'
    """
    file = configs.load(config, overrides, only)
    each = {kind: planning.plan(view) for kind, view in (file.each_target() or {"": file}).items()}
    if as_json:
        found = {kind: planned.to_json() for kind, planned in each.items()}
        click.echo(json.dumps(found.get("", {"targets": found}), indent=2))
        return
    for kind, planned in each.items():
        if kind:
            click.echo(f"target: {kind}")
        planned.show(make_console())
