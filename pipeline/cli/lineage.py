"""`paredown lineage`."""

from __future__ import annotations

import click

from pipeline.base import streams
from pipeline.base.console import make_console
from pipeline.base.exit_code import EXIT_CHANGED, EXIT_INVALID
from pipeline.cli import options
from pipeline.lineage.answer import TEXT_FORMATS, find
from pipeline.lineage.store_choice import choose


@click.command(
    epilog=f"Exit codes: 0 shown, {EXIT_CHANGED} files differ from their record, {EXIT_INVALID} no such target."
)
@click.argument("target")
@options.in_store
@click.option("--down", is_flag=True, help="Show what was made from TARGET instead.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["tree", *TEXT_FORMATS]),
    default="tree",
    is_eager=True,
    callback=options.remember_format,
    help="tree for the terminal, mermaid for a flowchart, openlineage for OpenLineage run events.  [default: tree]",
)
def lineage(target: str, metadata: str | None, config: str | None, down: bool, form: str) -> int | None:
    """Show what a model was made from.

    Goes back from the model to the data, or with --down from TARGET to everything that was made from it. TARGET
    is the folder of a pushed model (the newest version counts), a model file (found by the hash of its
    content), the folder or id of an artifact, the id of a run, or `latest`. Reports files that differ from
    their record.

    \b
    Examples:
      paredown lineage serving/mnist                        # where the newest version comes from
      paredown lineage model.tflite                         # where this file comes from, whatever its name
      paredown lineage latest --format mermaid > lineage.mmd
      paredown lineage 1 --down                             # what was built from these examples
    """
    answer = find(choose(metadata, config), target, down)
    if form == "tree":
        make_console().print(answer.tree())
    else:
        click.echo(answer.text(form))
    if form in ("mermaid", "openlineage"):
        for warning in answer.warnings():
            streams.say(warning)
    return EXIT_CHANGED if answer.target.tampered() else None
