"""The command that makes a new project. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from pipeline.base.exit_code import EXIT_INVALID


def _templates() -> str:
    from pipeline.project.template import TEMPLATES

    width = max(map(len, TEMPLATES))
    return "\n".join(f"  {name:{width}}  {what}" for name, what in TEMPLATES.items())


def _list(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        click.echo(_templates())
        context.exit()


@click.command(epilog="Exit codes: 0 made, 2 not; nothing was written then.")
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--template",
    type=click.Choice(["image", "tabular", "import"]),
    default="image",
    show_default=True,
    help="What to begin with; --list says what each is.",
)
@click.option("--name", metavar="NAME", help="Of the pipeline.  [DIR's name]")
@click.option(
    "--list", is_flag=True, is_eager=True, expose_value=False, callback=_list, help="List the templates."
)
def init(directory: Path, template: str, name: str | None) -> None:
    """Make a new project: config, model, data, tests, image recipe.

    It runs as it is made, and takes a minute or two. DIR has to be new, or empty. Replace the data and the
    model by your own, one after the other; `paredown validate` says what does not fit.

    \b
    Examples:
      paredown init flowers                       # images in folders, a class each
      paredown init churn --template tabular      # a CSV file
      paredown init smaller --template import     # a Keras model that you have
    """
    from pipeline.config.config import check_name
    from pipeline.project.template import ProjectError, create, name_of

    try:
        chosen = name_of(directory) if name is None else check_name(name)
        files = create(directory, template, chosen)
    except ValueError as error:
        click.echo(f"--name: {error}", err=True)
        raise SystemExit(EXIT_INVALID) from None
    except ProjectError as error:
        click.echo(str(error), err=True)
        raise SystemExit(EXIT_INVALID) from None
    click.echo(f"{directory} is made from the template {template!r}; its pipeline is called {chosen!r}:")
    for file in files:
        click.echo(f"  {file}")
    click.echo("\nNext:")
    if directory.absolute() != Path.cwd():
        click.echo(f"  cd {shlex.quote(os.fspath(directory))}")
    for command, what in (
        ("paredown validate pipeline.yaml", "is the file right?"),
        ("paredown plan pipeline.yaml", "what would run?"),
        ("paredown explain pipeline.yaml", "what will each step do to each layer?"),
        ("paredown run pipeline.yaml", "run it: a minute or two"),
    ):
        click.echo(f"  {command:32}  # {what}")
