"""`paredown explain`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline import environment
from pipeline.base import log_file, streams
from pipeline.base.console import make_console
from pipeline.base.exit_code import EXIT_INVALID
from pipeline.checks.checked_config import load_checked
from pipeline.cli import options
from pipeline.plan.plan import make_plan


@click.command(epilog="Exit codes: 0 explained, 2 invalid input, or a step that cannot work.")
@options.config
@options.overrides
@options.only
@options.as_json
def explain(config: Path, overrides: tuple[str, ...], only: tuple[str, ...], as_json: bool) -> int | None:
    """Show what each step will do to each layer.

    Builds the models without training them, lets each step look at its input, says what a step refuses and
    why, and predicts file sizes. Writes nothing. `run` makes the same check first. Takes some seconds, most of
    them to import TensorFlow.

    \b
    Examples:
      paredown explain configs/mnist/pipeline.yaml
      paredown explain configs/mnist/pipeline.yaml --only pruned-qat-int8
      paredown explain my.yaml --json | jq '.candidates[] | .predicted_bytes'
    """
    file = load_checked(config, overrides, only)
    environment.prepare_for(file)
    with log_file.quiet("Importing TensorFlow, building the models …"):
        from pipeline.checks import preflight  # imports TensorFlow
        from pipeline.explain import explanation, table

        candidates, problems = preflight.explain(file, make_plan(file.config, file.path))
    if as_json:
        rows = {candidate.name: explanation.to_json(candidate) for candidate in candidates}
        texts = [problem.to_json() for problem in problems]
        click.echo(json.dumps({"candidates": rows, "problems": texts}, indent=2))
        return EXIT_INVALID if problems else None
    table.show(make_console(), candidates)
    for problem in problems:
        if not (candidates and problem.location[:1] == ("candidates",)):  # those are below the tables
            streams.say(str(problem))
    refused = [candidate.name for candidate in candidates if candidate.refused()]
    if refused:
        streams.say(f"{config}: cannot be built: {', '.join(refused)}")
    return EXIT_INVALID if problems else None
