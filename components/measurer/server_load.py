"""Candidate and baseline on a model server: whether its answers are the interpreter's, and how many it gives.

The Measurer calls it if the target is a server; see `components.common.base.load_options`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

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
from components.measurer.comparison import Interval
from components.measurer.measured import SIDES, Side
from components.measurer.params import CONFIDENCE
from components.measurer.served_load import MODES, LoadFigures, Mode, ModeLoad, Protocol, ServedLoad

# Eval examples that requests are made of.
_EXAMPLES = 64
# Turns of each side in a mode, so that a busy moment of the machine affects both.
_TURNS = 20
_RESAMPLES = 1000
_CLIENTS: dict[Protocol, type[Client]] = {"REST": RestClient, "gRPC": GrpcClient}
# Folders are looked at once.
_NEVER = 1e6
# A request may take as long as its client waits.
_TIMEOUT = 60.0


def measure(files: Mapping[Side, str], examples: Examples, options: LoadOptions, seed: int) -> ServedLoad:
    """Serves both files on loopback, side by side, batched and not, and asks them in turns.

    Every answer is compared with the prediction that the interpreter makes in this process.

    Args:
        files: Side → TFLite file.
        examples: Requests are made of some of the `eval` split.
        options: Of the load.
        seed: Draws the examples, and is the seed of the bootstrap.

    Raises:
        ServerError: If the server does not start or a file does not load.
        ClientError: If a request is not answered.
        LiteRTError: If the interpreter does not run a file.
        ExamplesError: If a feature does not fit the model.
    """
    models = {side: LiteRTModel(path) for side, path in files.items()}
    drawn = examples.open("eval", models["baseline"].inputs).draw(_EXAMPLES, seed)
    features = drawn.feature_arrays()
    rows = [
        {name: values[index : index + 1] for name, values in features.items()}
        for index in range(len(drawn))
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
        modes = tuple(_in_mode(mode, servers[mode.batched], rows, right, options, seed) for mode in MODES)
    return ServedLoad(options.clients, options.threads, options.max_batch, len(rows), modes)


def _version_folder(folder: Path, path: str) -> Path:
    """A folder of versions whose only one has a file."""
    version = folder / "1"
    version.mkdir(parents=True)
    (version / "tflite").symlink_to(Path(path).resolve())
    return folder


def _server_options(options: LoadOptions, batched: bool) -> ServerOptions:
    batching = BatchLimits(max_batch_size=options.max_batch if batched else 1, queue=2 * options.clients)
    return ServerOptions(
        rest_port=0,
        grpc_port=0,
        threads=options.threads,
        batching=batching,
        timeout=_TIMEOUT,
        poll=_NEVER,
        drain=1.0,
    )


def _in_mode(
    mode: Mode,
    listening: Listening,
    rows: list[Values],
    right: Mapping[Side, list[Values]],
    options: LoadOptions,
    seed: int,
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
        turns: dict[Side, list[Load]] = {side: [] for side in SIDES}
        seconds = options.seconds / (_TURNS * len(SIDES))
        for turn in range(_TURNS):
            for side in SIDES if turn % 2 else SIDES[::-1]:
                turns[side].append(load.ask(clients, questions[side], seconds))
    every = [one for found in turns.values() for one in found]
    return ModeLoad(
        mode.protocol,
        mode.batched,
        _figures(turns["candidate"]),
        _figures(turns["baseline"]),
        *ratio_intervals(turns["candidate"], turns["baseline"], seed),
        checked + sum(len(one.times) for one in every),
        wrong + sum(one.differing for one in every),
    )


def _figures(turns: Sequence[Load]) -> LoadFigures:
    times = np.concatenate([turn.times for turn in turns])
    rate = len(times) / sum(turn.elapsed for turn in turns)
    return LoadFigures(len(times), rate, 1000 * float(np.percentile(times, 99)))


def ratio_intervals(
    candidate: Sequence[Load], baseline: Sequence[Load], seed: int
) -> tuple[Interval, Interval]:
    """Bootstrap intervals, 95 %, of the ratios of requests a second and of 99th percentiles.

    Turns are resampled as pairs, since both halves of one met the same load of the machine (Efron and Tibshirani, "An
    Introduction to the Bootstrap", 1993, chapter 13).

    Args:
        candidate: Its turns.
        baseline: As many.
        seed: Seed of the resampling.
    """
    drawn = np.random.default_rng(seed).integers(0, len(candidate), (_RESAMPLES, len(candidate)))
    rates, slowest = [], []
    for turns in (candidate, baseline):
        totals = np.array([(len(turn.times), turn.elapsed) for turn in turns])[drawn].sum(axis=1)
        rates.append(totals[:, 0] / totals[:, 1])
        times = [np.array(turn.times) for turn in turns]
        slowest.append(
            np.array([np.percentile(np.concatenate([times[i] for i in row]), 99) for row in drawn])
        )
    throughput, p99 = (_interval(mine / other) for mine, other in (rates, slowest))
    return throughput, p99


def _interval(values: npt.NDArray[Any]) -> Interval:
    tail = 50 * (1 - CONFIDENCE)
    return Interval(*(float(end) for end in np.percentile(values, (tail, 100 - tail))))
