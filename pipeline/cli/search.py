"""`paredown search`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.api import configs, searching
from pipeline.base import collector
from pipeline.base.console import make_console
from pipeline.base.exit_code import (
    EXIT_CANDIDATE_FAILED,
    EXIT_INTERRUPTED,
    EXIT_INVALID,
    EXIT_NODE_FAILED,
    EXIT_NONE_PASSED,
    EXIT_PUSHED,
)
from pipeline.cli import options
from pipeline.cli.outcome import print_outcome


@click.command(
    epilog=f"""\b
Exit codes:
  {EXIT_PUSHED}    the best candidate is pushed
  {EXIT_INVALID}    invalid input, or another run is using the pipeline root
  {EXIT_NODE_FAILED}    a node failed that all candidates need; its traceback is saved
  {EXIT_NONE_PASSED}    no candidate passed the gate
  {EXIT_CANDIDATE_FAILED}    the best candidate is pushed, but a node of another candidate failed
  {EXIT_INTERRUPTED}  interrupted; run again to continue"""
)
@options.config
@options.overrides
@click.option("--trials", type=click.IntRange(min=1), help="Number of trials; overrides search.trials.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="Start no new round after this many minutes; overrides search.minutes.",
)
@click.option(
    "--budget",
    metavar="LIMITS",
    help="Limits of the gate, e.g. 'size 60 kB, max_drop 0.005': size, gzip_size, flash, memory, latency, max_drop, "
    "min. A config without a search gets the default space of its target.",
)
@click.option("--dry-run", is_flag=True, help="Show the space and the first round, and run nothing.")
@options.strict
@options.as_json
def search(
    config: Path,
    overrides: tuple[str, ...],
    trials: int | None,
    minutes: float | None,
    budget: str | None,
    dry_run: bool,
    strict: bool,
    as_json: bool,
) -> int:
    """Search a space of candidates for the best one.

    Trials run in rounds, each an ordinary run, and are judged on a part of the training examples that they do not
    train on. The best ones are then trained on all training examples and judged on the eval split, and the best of
    those is pushed. After Ctrl-C, or if the process is killed, the same command continues.

    \b
    Examples:
      paredown search configs/mnist/search.yaml
      paredown search configs/mnist/search.yaml --trials 8
      paredown search configs/mnist/search.yaml --dry-run
      paredown search configs/mnist/pipeline.yaml --budget "gzip_size 60 kB, max_drop 0.01"
    """
    collector.look_seldom()
    file = searching.load_within(config, budget, overrides) if budget else configs.load(config, overrides)
    if dry_run:
        proposed = searching.propose(file)
        if as_json:
            click.echo(json.dumps(proposed.to_json(), indent=2))
        else:
            proposed.show(make_console())
        return 0
    return print_outcome(lambda: searching.search(file, trials, minutes, strict), as_json)
