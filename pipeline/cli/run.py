"""`paredown run`."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.api import configs, running, searching
from pipeline.base import collector
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

# Value of `--remeasure` without a name; no candidate has this name.
_ALL = "*"


@click.command(
    epilog=f"""\b
Exit codes:
  {EXIT_PUSHED}    the best candidate is pushed
  {EXIT_INVALID}    invalid input, or another run is using the pipeline root; nothing was run
  {EXIT_NODE_FAILED}    a node failed, and nothing is pushed; its traceback is saved
  {EXIT_NONE_PASSED}    every node ran, but no candidate passed the gate
  {EXIT_CANDIDATE_FAILED}    the best candidate is pushed, but a node of another candidate failed
  {EXIT_INTERRUPTED}  interrupted; run again to continue"""
)
@options.config
@options.overrides
@options.only
@click.option(
    "--remeasure",
    multiple=True,
    is_flag=False,
    flag_value=_ALL,
    metavar="[CANDIDATE]",
    help="Measure this candidate again even if its measurement is cached; all candidates if no name follows. Can be "
    "repeated. Write it after CONFIG.",
)
@options.strict
@options.as_json
def run(
    config: Path,
    overrides: tuple[str, ...],
    only: tuple[str, ...],
    remeasure: tuple[str, ...],
    strict: bool,
    as_json: bool,
) -> int:
    """Train, build, evaluate, and push the best candidate.

    Nodes whose code, options and inputs have not changed since an earlier run are taken from the cache;
    measurements only if they were made with the same CPU and LiteRT. After a failure or Ctrl-C, the same command
    continues where the run stopped. If the config has a search, this is `paredown search`, unless --only or --remeasure
    names candidates.

    \b
    Examples:
      paredown run configs/mnist/pipeline.yaml
      paredown run configs/mnist/pipeline.yaml --only int8 --set gate.accuracy.max_drop=0.01
      paredown run configs/mnist/pipeline.yaml --remeasure int8
      paredown run configs/mnist/pipeline.yaml --json > result.json
    """
    collector.look_seldom()  # models in circles are garbage, and large
    file = configs.load(config, overrides, only)
    if file.config.search is not None and not only and not remeasure:
        return print_outcome(lambda: searching.search(file, strict=strict), as_json)
    named = [name for name in remeasure if name != _ALL]
    measured_again = [*file.config.candidates, *named] if _ALL in remeasure else named
    run_it = running.run_each if file.config.targets else running.run
    return print_outcome(lambda: run_it(file, measured_again, strict), as_json)
