"""`paredown explain`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.api import configs, explaining, sensing
from pipeline.base import streams
from pipeline.base.console import make_console
from pipeline.base.exit_code import EXIT_INVALID
from pipeline.cli import options
from pipeline.config.config_file import ConfigFile


@click.command(epilog="Exit codes: 0 explained, 2 invalid input, or a step that cannot work.")
@options.config
@options.overrides
@options.only
@options.strict
@click.option(
    "--sensitivity",
    is_flag=True,
    help="Show instead which layers lose accuracy in int8, of the candidates that the last run trained.",
)
@options.as_json
def explain(
    config: Path,
    overrides: tuple[str, ...],
    only: tuple[str, ...],
    strict: bool,
    sensitivity: bool,
    as_json: bool,
) -> int | None:
    """Show what each step will do to each layer.

    Builds the models without training them, checks each step on its input, reports what a step refuses and why,
    predicts file sizes, and compares them with the gate's limits. Writes nothing. `run` makes the same
    checks first. Takes some seconds, most of them to import TensorFlow.

    With --sensitivity, takes the models that are trained already, measures the error of each layer in int8 and the
    accuracy that returns if it alone stays in float, on training examples, and says what to write.

    \b
    Examples:
      paredown explain configs/mnist/pipeline.yaml
      paredown explain configs/mnist/pipeline.yaml --only pruned-qat-int8
      paredown explain my.yaml --sensitivity --only int8
      paredown explain my.yaml --json | jq '.candidates[] | .predicted_bytes'
    """
    file = configs.load(config, overrides, only)
    if sensitivity:
        _sense(file, as_json)
        return None
    each = {
        kind: explaining.explain(view, strict) for kind, view in (file.each_target() or {"": file}).items()
    }
    code = EXIT_INVALID if any(explained.problems for explained in each.values()) else None
    if as_json:
        found = {kind: explained.to_json() for kind, explained in each.items()}
        click.echo(json.dumps(found.get("", {"targets": found}), indent=2))
        return code
    for kind, explained in each.items():
        if kind:
            click.echo(f"target: {kind}")
        explained.show_candidates(make_console())
        for message in explained.messages():
            streams.say(message)
        refused = [candidate.name for candidate in explained.candidates if candidate.refused()]
        if refused:
            streams.say(f"{config}: cannot be built: {', '.join(refused)}")
    return code


def _sense(file: ConfigFile, as_json: bool) -> None:
    each = {kind: sensing.sense(view) for kind, view in (file.each_target() or {"": file}).items()}
    if as_json:
        found = {kind: sensed.to_json() for kind, sensed in each.items()}
        click.echo(json.dumps(found.get("", {"targets": found}), indent=2))
        return
    for kind, sensed in each.items():
        if kind:
            click.echo(f"target: {kind}")
        sensed.show(make_console())
