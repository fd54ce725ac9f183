"""`paredown init`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from components.targets.registry import TARGETS
from pipeline.base import streams
from pipeline.project.template import TEMPLATES, create


def _list(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        width = max(map(len, TEMPLATES))
        for name, what in TEMPLATES.items():
            click.echo(f"  {name:{width}}  {what}")
        context.exit()


@click.command(epilog="Exit codes: 0 made, 2 not made; nothing was written.")
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--template",
    type=click.Choice(list(TEMPLATES)),
    default="image",
    show_default=True,
    help="Template of the project; --list describes each one.",
)
@click.option(
    "--target",
    type=click.Choice(list(TARGETS)),
    default="mobile",
    show_default=True,
    help="Deployment target; `paredown targets` describes each kind.",
)
@click.option("--name", metavar="NAME", help="Name of the pipeline.  [default: the name of DIR]")
@click.option(
    "--list", is_flag=True, is_eager=True, expose_value=False, callback=_list, help="List the templates."
)
def init(directory: Path, template: str, target: str, name: str | None) -> None:
    """Make a new project that runs as it is.

    The project has a config, a model, data, tests and a Dockerfile; a run of it takes a minute or two. DIR
    must be new or empty. Replace first the data and then the model with your own; `paredown validate` reports
    what does not fit.

    \b
    Examples:
      paredown init flowers                       # images in folders, one folder for each class
      paredown init churn --template tabular      # a CSV file
      paredown init smaller --template import     # a Keras model that you have
      paredown init sensor --target microcontroller
    """
    project = create(directory, template, name, target)
    streams.answer(
        f"Made {directory} from the template {template!r}; the pipeline is called {project.name!r}:"
    )
    for file in project.files:
        streams.answer(f"  {file}")
    click.echo("\nNext:")
    if directory.absolute() != Path.cwd():
        click.echo(f"  cd {shlex.quote(os.fspath(directory))}")
    for command, what in (
        ("paredown validate pipeline.yaml", "check the config"),
        ("paredown plan pipeline.yaml", "show what would run"),
        ("paredown explain pipeline.yaml", "show what each step does to each layer"),
        ("paredown run pipeline.yaml", "run it: a minute or two"),
    ):
        click.echo(f"  {command:32}  # {what}")
