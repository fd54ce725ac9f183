"""`paredown validate` and `paredown schema`: what a config may say."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.api import configs
from pipeline.base import streams
from pipeline.base.texts import count_text
from pipeline.cli import options
from pipeline.config import reference
from pipeline.config import schema as json_schema


@click.command(epilog="Exit codes: 0 valid, 2 not valid.")
@options.config
@options.overrides
@options.as_json
def validate(config: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check a config.

    Checks keys, types, steps, files, functions and metrics without importing TensorFlow, in less than a
    second. Prints one line for each mistake: file, line, key, what was expected, and the nearest valid name.

    \b
    Examples:
      paredown validate configs/mnist/pipeline.yaml
      paredown validate configs/mnist/pipeline.yaml --set gate.latency.max_ratio=0.5
      paredown validate my.yaml --json | jq '.problems[].message'
    """
    file = configs.load(config, overrides)
    if as_json:
        click.echo(json.dumps({"valid": True, "problems": []}))
    else:
        space = " and a space to search" if file.config.search else ""
        streams.answer(f"{config} is valid: {count_text(len(file.config.candidates), 'candidate')}{space}")


@click.command()
@click.option(
    "--markdown", is_flag=True, help="Print every option with its default as a page of Markdown instead."
)
def schema(markdown: bool) -> None:
    """Print the JSON Schema of a config, or the option reference.

    Editors use the schema to complete and check YAML.

    \b
    Example:
      paredown schema > paredown.schema.json
    and in the config's first line: # yaml-language-server: $schema=paredown.schema.json
    """
    if markdown:
        click.echo(reference.markdown(), nl=False)
    else:
        click.echo(json.dumps(json_schema.whole(), indent=2))
