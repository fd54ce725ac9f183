"""`paredown plan`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.base.console import make_console
from pipeline.checks.checked_config import load_checked
from pipeline.cli import options
from pipeline.plan import data_files
from pipeline.plan.plan import make_plan
from pipeline.plan.table import plan_json, plan_summary, plan_table
from pipeline.run.cache import cached_ids


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
    file = load_checked(config, overrides, only)
    planned = make_plan(file.config, file.path)
    cached = cached_ids(file, planned)
    data = file.config.data
    if as_json:
        click.echo(json.dumps(plan_json(planned, cached, data_files.choice(data)), indent=2))
        return
    console = make_console()
    console.print(plan_table(planned, cached))
    console.print(plan_summary(planned, cached))
    span = data_files.chosen_span(data)
    if span is not None:
        patterns = ", ".join(data_files.patterns(data).values())
        console.print(f"Data: {span}: {patterns}", markup=False, highlight=False, soft_wrap=True)
