"""`paredown serve` by REST and gRPC, batched and not, for one or several pushed models in turns.

    .venv/bin/python -m benchmarks.serving serving/mnist [OTHER ...] [--clients 8] [--seconds 3] [--rounds 3]

Each model has a server of its own, and every one is asked in each round, so that a busy moment of the machine is
nobody's alone. Clients are threads of this program and share the processor with the servers. Prints requests a second
and the 99th percentile, and, of every model but the first, their ratios to the first one's: the baseline's, say.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

import grpc
import numpy as np

from benchmarks.table import markdown
from components.common.serving.stubs import predict_pb2, prediction_service_pb2_grpc

_MODEL = "model"
_TYPES = {
    "FP32": "float32",
    "FP64": "float64",
    "INT32": "int32",
    "INT64": "int64",
    "UINT8": "uint8",
    "BOOL": "bool",
}
_NUMBERS = {"float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int64": 9, "bool": 10}

Ask = Callable[[], None]


@dataclass
class Server:
    """A running server, and an example of zeros for its model."""

    rest: int
    grpc: int
    inputs: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)

    @contextmanager
    def by_rest(self) -> Iterator[Ask]:
        """A client with a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.rest)

        def ask() -> None:
            body = json.dumps({"inputs": {name: values.tolist() for name, values in self.inputs.items()}})
            connection.request("POST", f"/v1/models/{_MODEL}:predict", body)
            answer = connection.getresponse()
            content = json.loads(answer.read())
            assert answer.status == 200, content

        yield ask
        connection.close()

    @contextmanager
    def by_grpc(self) -> Iterator[Ask]:
        """The same by gRPC."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{self.grpc}", options) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

            def ask() -> None:
                request = predict_pb2.PredictRequest()
                request.model_spec.name = _MODEL
                for name, values in self.inputs.items():
                    tensor = request.inputs[name]
                    tensor.dtype = _NUMBERS[values.dtype.name]
                    for size in values.shape:
                        tensor.tensor_shape.dim.add().size = size
                    tensor.tensor_content = values.tobytes()
                stub.Predict(request)

            yield ask


@contextmanager
def serving(folder: Path, max_batch: int, rows: int) -> Iterator[Server]:
    """Starts a server on free ports, and asks it what its model takes."""
    command = [
        sys.executable,
        "-m",
        "pipeline.cli",
        "serve",
        str(folder),
        "--name",
        _MODEL,
        "--rest-port",
        "0",
    ]
    command += ["--grpc-port", "0", "--max-batch", str(max_batch)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        ports = re.findall(r":(\d+)", process.stdout.readline())
        server = Server(int(ports[0]), int(ports[1]))
        connection = http.client.HTTPConnection("127.0.0.1", server.rest)
        connection.request("GET", f"/v2/models/{_MODEL}")
        for one in json.loads(connection.getresponse().read())["inputs"]:
            shape = [rows, *(1 if size < 0 else size for size in one["shape"][1:])]
            server.inputs[one["name"]] = np.zeros(shape, _TYPES[one["datatype"]])
        connection.close()
        yield server
    finally:
        process.terminate()
        process.wait()


def load(client: Callable[[], Any], clients: int, seconds: float) -> list[float]:
    """Seconds of each request that clients make one after the other, all clients at once."""
    taken: list[float] = []
    end = time.perf_counter() + seconds

    def run() -> None:
        with client() as ask:
            while (began := time.perf_counter()) < end:
                ask()
                taken.append(time.perf_counter() - began)

    threads = [threading.Thread(target=run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


def compare(
    folders: list[Path], rows: int, clients: int, seconds: float, rounds: int
) -> Iterator[list[object]]:
    """A row of the table for each protocol, kind of batching and model."""
    for max_batch in (1, 32):
        with ExitStack() as stack:
            servers = [stack.enter_context(serving(folder, max_batch, rows)) for folder in folders]
            for protocol in ("REST", "gRPC"):
                times: list[list[float]] = [[] for _ in servers]
                for _ in range(rounds):
                    for server, taken in zip(servers, times, strict=True):
                        client = server.by_rest if protocol == "REST" else server.by_grpc
                        taken += load(client, clients, seconds)
                rates = [len(taken) / (rounds * seconds) for taken in times]
                slowest = [quantiles(taken, n=100)[98] for taken in times]
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
