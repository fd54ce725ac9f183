"""Beam's worker pool, as docs/beam.md starts it beside Flink and Spark, does a pipeline's work."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import pytest

from tests.pipeline.kubeflow.conftest import ROOT
from tests.pipeline.kubeflow.test_beam import EXAMPLES

DOC = (ROOT / "docs/beam.md").read_text(encoding="utf-8")
LOCK = (ROOT / "requirements/py313.lock").read_text(encoding="utf-8")


@pytest.fixture
def worker_pool() -> Iterator[int]:
    """The port of one, started by the documented command."""
    (line,) = re.findall(r"^python .*--service_port=50000$", DOC, re.MULTILINE)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    program, *arguments = shlex.split(line.replace("50000", str(port)))
    assert program == "python"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # workers are started as `python`
    pool = subprocess.Popen([sys.executable, *arguments], env={**os.environ, "PATH": path})
    try:
        deadline = time.monotonic() + 60
        while True:
            assert pool.poll() is None
            try:
                socket.create_connection(("localhost", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.2)
        yield port
    finally:
        pool.terminate()
        pool.wait(30)


@pytest.mark.timeout(180)
def test_a_portable_runner_hands_its_work_to_it(worker_pool: int, tmp_path: Path) -> None:
    """The example for Spark, with Beam's own job service in the place of Spark's."""
    from apache_beam.runners.portability.local_job_service import LocalJobServicer

    job = LocalJobServicer().start_grpc_server(0)
    places = {
        "--job_endpoint": f"localhost:{job}",
        "--environment_config": f"localhost:{worker_pool}",
        "--artifact_endpoint": None,  # the job service here gives its own
    }
    arguments = []
    for argument in EXAMPLES["--runner=PortableRunner"]:
        name, _, value = argument.partition("=")
        place = places.get(name, value)
        arguments += [f"{name}={place}"] if place else []
    assert "--environment_type=EXTERNAL" in arguments
    with beam.Pipeline(argv=arguments) as pipeline:
        _ = (
            pipeline
            | beam.Create([1, 2, 3])
            | beam.Map(lambda number: f"{__import__('os').getpid()} {number * number}")
            | beam.io.WriteToText(str(tmp_path / "found"))
        )
    found = [line.split() for path in tmp_path.glob("found*") for line in path.read_text().splitlines()]
    assert sorted(square for _, square in found) == ["1", "4", "9"]
    assert str(os.getpid()) not in {process for process, _ in found}


def test_what_dataflow_needs_is_of_the_same_beam() -> None:
    (locked,) = re.findall(r"^apache-beam==([\d.]+)", LOCK, re.MULTILINE)
    reported = re.findall(r"apache/beam_[\w.]+:([\d.]+\d)", DOC)
    assert reported == [locked] * 2
    assert "apache/beam_python3.13_sdk:" in DOC
