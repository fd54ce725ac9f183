"""Candidate and baseline on a model server: whether its answers are the interpreter's, and how many it gives.

The Measurer calls it if the target is a server; see `components.common.base.load_options`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from components.common.base import exclusive
from components.common.base.load_options import LoadOptions
from components.common.data.examples import Examples
from components.common.serving import background, load
from components.common.serving.batcher import BatchLimits
from components.common.serving.clients import Client, GrpcClient, RestClient
from components.common.serving.load import Load, Question
from components.common.serving.servable import Values
from components.common.serving.server import Listening, ServerOptions
from components.common.tflite.litert import LiteRTModel
from components.measurer.measured import SIDES, Side
from components.measurer.served_load import MODES, LoadFigures, Mode, ModeLoad, Protocol, ServedLoad

# Eval examples that requests are made of.
_EXAMPLES = 64
# Of each side in a mode: a busy moment of the machine meets both.
_TURNS = 4
_CLIENTS: dict[Protocol, type[Client]] = {"REST": RestClient, "gRPC": GrpcClient}
# Folders are looked at once.
_NEVER = 1e6


def measure(files: Mapping[Side, str], examples: Examples, options: LoadOptions) -> ServedLoad:
    """Serves both files on loopback, side by side, batched and not, and asks them in turns.

    Every answer is compared with the prediction that the interpreter makes in this process.

    Args:
        files: Side → TFLite file.
        examples: Requests are made of the first ones of the `eval` split.
        options: Of the load.

    Raises:
        ServerError: If the server does not start or a file does not load.
        ClientError: If a request is not answered.
        LiteRTError: If the interpreter does not run a file.
        ExamplesError: If a feature does not fit the model.
    """
    models = {side: LiteRTModel(path) for side, path in files.items()}
    arrays = examples.open("eval", models["baseline"].inputs)
    some = arrays.take(np.arange(min(_EXAMPLES, len(arrays)))).feature_arrays()
    rows = [
        {name: values[index : index + 1] for name, values in some.items()} for index in range(_count(some))
    ]
    right = {side: [model.predict_each(row) for row in rows] for side, model in models.items()}
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folders = {str(side): _version_folder(root / side, path) for side, path in files.items()}
        servers = {
            batched: stack.enter_context(background.serving(folders, _server_options(options, batched)))
            for batched in (False, True)
        }
        stack.enter_context(exclusive.section())
        modes = tuple(_in_mode(mode, servers[mode.batched], rows, right, options) for mode in MODES)
    return ServedLoad(options.clients, options.threads, options.max_batch, len(rows), modes)


def _count(features: Values) -> int:
    return len(next(iter(features.values())))


def _version_folder(folder: Path, path: str) -> Path:
    """A folder of versions whose only one has a file."""
    version = folder / "1"
    version.mkdir(parents=True)
    (version / "tflite").symlink_to(Path(path).resolve())
    return folder


def _server_options(options: LoadOptions, batched: bool) -> ServerOptions:
    batching = BatchLimits(max_batch_size=options.max_batch if batched else 1, queue=2 * options.clients)
    return ServerOptions(
        rest_port=0, grpc_port=0, threads=options.threads, batching=batching, poll=_NEVER, drain=1.0
    )


def _in_mode(
    mode: Mode,
    listening: Listening,
    rows: list[Values],
    right: Mapping[Side, list[Values]],
    options: LoadOptions,
) -> ModeLoad:
    """Asks both models in turns."""
    with ExitStack() as stack:
        clients = [
            stack.enter_context(closing(_CLIENTS[mode.protocol](listening))) for _ in range(options.clients)
        ]
        questions = {
            side: [
                Question(clients[0].request(side, row), answer)
                for row, answer in zip(rows, right[side], strict=True)
            ]
            for side in SIDES
        }
        wrong = sum(load.check(clients, questions[side]) for side in SIDES)
        checked = len(SIDES) * max(len(clients), len(rows))
        loads = {side: Load() for side in SIDES}
        seconds = options.seconds / (_TURNS * len(SIDES))
        for turn in range(_TURNS):
            for side in SIDES if turn % 2 else SIDES[::-1]:
                loads[side].add(load.ask(clients, questions[side], seconds))
    return ModeLoad(
        mode.protocol,
        mode.batched,
        _figures(loads["candidate"]),
        _figures(loads["baseline"]),
        checked + sum(len(found.times) for found in loads.values()),
        wrong + sum(found.differing for found in loads.values()),
    )


def _figures(found: Load) -> LoadFigures:
    times = np.array(found.times)
    return LoadFigures(len(times), len(times) / found.elapsed, 1000 * float(np.percentile(times, 99)))
