"""`paredown serve`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from components.common.base import byte_sizes


def _bytes(context: click.Context, option: click.Parameter, text: str) -> int:
    try:
        return int(text) if text.isdecimal() else int(byte_sizes.parse_bytes(text))
    except ValueError as error:
        raise click.BadParameter(str(error), context, option) from None


@click.command(
    epilog="Exit codes: 0 ended by SIGTERM or Ctrl-C, 2 nothing to serve, or no address to listen on."
)
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--name", help="Name of the model, for one DIR.  [default: name of the folder]")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 listens on all."
)
@click.option(
    "--rest-port",
    type=click.IntRange(0, 65535),
    default=8501,
    show_default=True,
    help="REST port. 0: a free one.",
)
@click.option(
    "--grpc-port",
    type=click.IntRange(0, 65535),
    default=8500,
    show_default=True,
    help="gRPC port. 0: a free one.",
)
@click.option(
    "--keep",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Serve this many of the newest versions, if push.serving has no labels.",
)
@click.option(
    "--saved-model",
    is_flag=True,
    help="Serve the SavedModel of each version, even if it also has a TFLite file.",
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="Predict this many batches at once.",
)
@click.option(
    "--max-batch",
    type=click.IntRange(1),
    default=32,
    show_default=True,
    help="Largest number of examples in a batch.",
)
@click.option(
    "--batch-timeout",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    metavar="MS",
    help="Milliseconds that a batch waits to become full while a thread is free.",
)
@click.option(
    "--queue",
    type=click.IntRange(1),
    default=256,
    show_default=True,
    help="Largest number of waiting requests; others get 429.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Longest time of a request.",
)
@click.option(
    "--max-request",
    callback=_bytes,
    default="32 MiB",
    show_default=True,
    metavar="SIZE",
    help="Largest size of a request.",
)
@click.option(
    "--poll",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two checks for new versions.",
)
@click.option(
    "--drain",
    type=click.FloatRange(0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Time that requests have to finish after SIGTERM.",
)
def serve(
    folders: tuple[Path, ...],
    name: str | None,
    host: str,
    rest_port: int,
    grpc_port: int,
    keep: int,
    saved_model: bool,
    threads: int,
    max_batch: int,
    batch_timeout: float,
    queue: int,
    timeout: float,
    max_request: int,
    poll: float,
    drain: float,
) -> None:
    """Serve pushed models by REST and gRPC.

    Each DIR is a folder of versions, such as push.directory, and is served as a model with the folder's name. Versions
    that are pushed or removed later are noticed. The server speaks TensorFlow Serving's REST and gRPC and KServe's
    REST (version 2), and reports metrics for Prometheus at /metrics. A TFLite file runs on LiteRT, without TensorFlow;
    a SavedModel runs on TensorFlow. See docs/serving.md.

    \b
    Examples:
      paredown serve serving/mnist
      curl localhost:8501/v1/models/mnist
      curl -d '{"instances": [...]}' localhost:8501/v1/models/mnist:predict
    """
    from components.common.serving.batcher import BatchLimits
    from components.common.serving.server import Listening, ServerOptions
    from components.common.serving.versions import Model
    from pipeline.api import serving
    from pipeline.base import streams

    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    logging.getLogger("components.common.serving").setLevel(logging.INFO)

    def show(listening: Listening, models: Sequence[Model]) -> None:
        names = ", ".join(model.name for model in models)
        where = f"http://{listening.host}:{listening.rest_port} (REST), {listening.host}:{listening.grpc_port} (gRPC)"
        streams.answer(f"Serving {names} on {where}")
        for model in models:
            if not model.ready:
                streams.say(
                    f"{model.name} has no version that can be served yet; waiting for one in {model.folder}"
                )

    options = ServerOptions(
        host=host,
        rest_port=rest_port,
        grpc_port=grpc_port,
        threads=threads,
        batching=BatchLimits(max_batch, batch_timeout / 1000, queue),
        timeout=timeout,
        request_bytes=max_request,
        poll=poll,
        drain=drain,
    )
    serving.serve(folders, options, show, name, keep, saved_model)
