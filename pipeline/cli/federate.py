"""`paredown federate`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.base import streams
from pipeline.cli import options
from pipeline.federate import export as exporting


@click.group()
def federate() -> None:
    """Take federated training to real machines.

    `paredown run` simulates the clients of model.train.federated. `export` writes the same training as an app of Flower
    (https://flower.ai), whose server and clients run on machines of their own.
    """


@federate.command(epilog="Exit codes: 0 written, 2 invalid input; nothing was written.")
@options.config
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the app, which must be new or empty.",
)
@options.overrides
@options.as_json
def export(config: Path, output: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Write the federated training of a config as a Flower app.

    The app has a server and a client, the model module, and the modules of Paredown that compute; its own environment
    needs Flower and TensorFlow, and no TFX. It draws the same clients as the simulation, and each trains in the same
    order, so that the same seed gives the same model, as far as the versions of TensorFlow compute alike. Each client
    reads its examples from an .npz file, and writes updates as `updates` says. Refuses what real clients cannot do as
    the simulation does: secure_sum, privacy, batch_norm: local, a preprocessing_fn.

    \b
    Examples:
      paredown federate export configs/federated/pipeline.yaml -o app
      paredown federate export my.yaml -o app --set model.train.federated.rounds=50

    README.md in DIR has the commands that start server, clients and training. The trained model comes back by
    `import: {weights: trained.h5}` in the section `model`, in place of `train`.
    """
    exported = exporting.export(config, overrides, output)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "directory": str(output),
                    "files": exported.files,
                    "nodes": exported.nodes,
                    "requirements": exported.requirements,
                },
                indent=2,
            )
        )
        return
    readme = output / "README.md"
    streams.answer(
        f"Made {output}: a Flower app for {exported.nodes} or more clients. {readme} has the commands."
    )
