"""`paredown serve` by REST and gRPC, batched and not, for one or several pushed models in turns.

    .venv/bin/python -m benchmarks.serving serving/mnist [OTHER ...] [--clients 8] [--seconds 3] [--rounds 3]

One server has all models, and every one is asked in each round, so that a busy moment of the machine is nobody's
alone. Clients are threads of this program and share the processor with the server. Every answer is compared. Prints
requests a second and the 99th percentile, and, of every model but the first, their ratios to the first one's: the
baseline's, say.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from benchmarks.table import markdown
from components.common.serving import background, load
from components.common.serving.batcher import BatchLimits
from components.common.serving.clients import GrpcClient, RestClient
from components.common.serving.load import Load, Question
from components.common.serving.servable import Values
from components.common.serving.server import ServerOptions
from components.common.serving.versions import Model
from components.common.tflite.tflite_file import SIGNATURE

_CLIENTS = {"REST": RestClient, "gRPC": GrpcClient}


def question(folder: Path, rows: int) -> tuple[Values, Values]:
    """Zeros for the newest version of a model, and what it predicts."""
    model = Model(folder.name, folder)
    model.refresh()
    _, servable = model.find()
    inputs = {
        name: np.zeros([rows, *(size or 1 for size in (port.shape or ())[1:])], port.dtype)
        for name, port in servable.signature(SIGNATURE).inputs.items()
    }
    (made,) = servable.predict(SIGNATURE, [inputs])
    assert not isinstance(made, Exception), made
    return inputs, made


def compare(
    folders: list[Path], rows: int, clients: int, seconds: float, rounds: int
) -> Iterator[list[object]]:
    """A row of the table for each protocol, kind of batching and model."""
    asked = [question(folder, rows) for folder in folders]
    for max_batch in (1, 32):
        with ExitStack() as stack:
            options = ServerOptions(rest_port=0, grpc_port=0, batching=BatchLimits(max_batch), drain=1)
            models = {str(number): folder for number, folder in enumerate(folders)}
            listening = stack.enter_context(background.serving(models, options))
            for protocol, kind in _CLIENTS.items():
                connected = [stack.enter_context(closing(kind(listening))) for _ in range(clients)]
                questions = [
                    [Question(connected[0].request(name, inputs), right)]
                    for name, (inputs, right) in zip(models, asked, strict=True)
                ]
                loads = [Load() for _ in folders]
                for one in questions:
                    assert load.check(connected, one) == 0
                for _ in range(rounds):
                    for one, found in zip(questions, loads, strict=True):
                        found.add(load.ask(connected, one, seconds))
                assert not any(found.differing for found in loads)
                rates = [len(found.times) / found.elapsed for found in loads]
                slowest = [float(np.percentile(found.times, 99)) for found in loads]
                for folder, rate, p99 in zip(folders, rates, slowest, strict=True):
                    yield [
                        f"{folder.name}, {protocol}, {'unbatched' if max_batch == 1 else 'batched'}",
                        rows,
                        clients,
                        f"{rate:,.0f}",
                        f"{1000 * p99:.1f}",
                        f"{rate / rates[0]:.2f}",
                        f"{p99 / slowest[0]:.2f}",
                    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures `paredown serve`.")
    parser.add_argument(
        "folders", type=Path, nargs="+", help="push directories; the first is compared with"
    )
    parser.add_argument("--rows", type=int, default=1, help="examples of a request")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each model in each round")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    header = ["", "examples", "clients", "requests/s", "p99 ms", "requests/s ratio", "p99 ratio"]
    rows = compare(asked.folders, asked.rows, asked.clients, asked.seconds, asked.rounds)
    print(markdown(header, rows))


if __name__ == "__main__":
    main()
