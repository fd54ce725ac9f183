"""`paredown inspect`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.api import inspecting
from pipeline.base import streams
from pipeline.base.console import make_console
from pipeline.cli import options


@click.command(epilog="Exit codes: 0 shown, 2 no model that can be read.")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--tensors", is_flag=True, help="List every tensor of a TFLite file with its quantization.")
@click.option(
    "--load",
    is_flag=True,
    help="Load a Keras file or SavedModel with TensorFlow. This runs the code in it: use it only for files that you "
    "trust.",
)
@options.as_json
def inspect(path: Path, tensors: bool, load: bool, as_json: bool) -> None:
    """Show what a model file contains.

    Shows signatures, operators and, for the weights of each layer, their share of the file, how many are zero,
    and how many distinct values they have. PATH is a TFLite file, a Keras file (.h5, .keras), or the folder of
    a SavedModel, a pushed model or a Model artifact. A TFLite file is also tried on LiteRT. No code
    in a file runs. --load also shows what only a loaded model has, such as the shapes of some outputs.

    \b
    Examples:
      paredown inspect serving/mnist                   # the model that was pushed last
      paredown inspect model.tflite --tensors          # with the scale and zero point of each tensor
      paredown inspect model.h5 --json | jq '.models[].layers[] | {name, sparsity, unique}'
    """
    if load:
        streams.say(f"Warning: --load runs the code in {path}.")
    found = inspecting.inspect(path, load)
    if as_json:
        click.echo(json.dumps(found.to_json(tensors), indent=2))
    else:
        found.show(make_console(), tensors)
