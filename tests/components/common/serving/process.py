"""`paredown serve` as a process of its own, and its clients."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from components.common.serving.stubs import model_service_pb2_grpc, prediction_service_pb2_grpc

ROOT = Path(__file__).parents[4]


@dataclass
class Serving:
    """A server that listens."""

    process: subprocess.Popen[str]
    rest: int
    grpc: int
    log: Path

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.rest, timeout=30)

    def get(self, path: str) -> tuple[int, Any]:
        return self.send("GET", path, None)

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        return self.send("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode())

    def send(
        self, method: str, path: str, body: Any, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        connection = self.connect()
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            content = answer.read()
            return answer.status, json.loads(content) if "json" in answer.headers[
                "Content-Type"
            ] else content.decode()
        finally:
            connection.close()

    @contextmanager
    def stubs(self, *options: tuple[str, int]) -> Iterator[tuple[Any, Any]]:
        with grpc.insecure_channel(f"127.0.0.1:{self.grpc}", options=[*options]) as channel:
            yield (
                prediction_service_pb2_grpc.PredictionServiceStub(channel),
                model_service_pb2_grpc.ModelServiceStub(channel),
            )

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The server answers nothing for as long as this lasts."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Serving]:
    """Starts `paredown serve`, and ends it."""
    with tempfile.NamedTemporaryFile("w+", suffix=".log") as log:
        options = ("--rest-port", "0", "--grpc-port", "0", "--poll", "0.05", *options)
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", "serve", str(folder), *options],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:(\d+) .* 127\.0\.0\.1:(\d+) ", line)
            assert found, line + Path(log.name).read_text()
            yield Serving(process, int(found[1]), int(found[2]), Path(log.name))
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
            process.communicate()
