"""Processes that train together: started, watched, and ended whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from components.common.base import progress
from components.common.base.distribution_options import TF_CONFIG, Distribution, cluster_task, is_chief
from components.common.base.errors import ParedownError

WORK, RESULT, PROGRESS, ERROR = "work", "result", "progress", "error"

_POLL_SECONDS = 0.2
_GRACE_SECONDS = 10.0
# A worker's end makes others fail as well: the cause is among those that fail in this time.
_CAUSE_SECONDS = 3.0
# Below what Linux gives to outgoing connections, which could take a port before its process is up.
_PORTS = range(20000, 32000)
_CONSEQUENCES = (
    "UnavailableError",
    "AbortedError",
    "CancelledError",
    "DeadlineExceededError",
    "InternalError",
)


class WorkerError(ParedownError):
    """A process that trains with others failed; the message says which, and why."""


@dataclass
class _Worker:
    """A process of the group: `name` as in TF_CONFIG, e.g. `worker-1`, and its own folder."""

    name: str
    folder: Path
    process: subprocess.Popen[bytes]
    chief: bool

    def reason(self) -> str:
        """Why it ended."""
        error = self.folder / ERROR
        if error.exists():
            return error.read_text(encoding="utf-8")
        code = self.process.returncode
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended with exit code {code}" if code else "ended without a result"


class WorkerGroup:
    """The processes that one training needs; use it in a `with` statement, which ends them all."""

    def __init__(self, asked: Distribution, environment: Mapping[str, str]):
        """Decides on the processes.

        Args:
            asked: The option.
            environment: If TF_CONFIG describes a cluster, there is one process, its part of it.
        """
        self._asked = asked
        self._environment = dict(environment)
        self._workers: list[_Worker] = []
        self.folder = Path(tempfile.mkdtemp(prefix="paredown-workers-"))
        self._told = 0

    def __enter__(self) -> WorkerGroup:
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(
        self, function: Callable[..., Any], arguments: Mapping[str, Any], written: Sequence[str]
    ) -> Any:
        """Calls a function in every process; see components.common.training.distributed.perform.

        Raises:
            WorkerError: If a process fails; all others are ended.
        """
        work = pickle.dumps((function, dict(arguments), tuple(written)))
        options = self._asked.model_dump(mode="json")
        (self.folder / WORK).write_bytes(pickle.dumps((options, work)))
        for task in self._tasks():
            self._start(*task)
        chief = next(worker for worker in self._workers if worker.chief)
        result = chief.folder / RESULT
        while not result.exists():
            self._tell(chief)
            self._refuse_ended(chief)
            time.sleep(_POLL_SECONDS)
        self._tell(chief)
        return pickle.loads(result.read_bytes())

    def command(self, name: str) -> list[str]:
        """Arguments of a process."""
        return [sys.executable, "-m", "components.common.training.worker", str(self.folder), name]

    def processes(self) -> list[int]:
        """Ids of the processes that were started."""
        return [worker.process.pid for worker in self._workers]

    def _tasks(self) -> list[tuple[str, bool, dict[str, str]]]:
        """Name of each process, whether its result counts, and what its environment has besides."""
        if cluster_task(self._environment) is not None and self._asked.processes():
            kind, index = cluster_task(self._environment) or ("", 0)
            # Whichever part this process has, it is the only one that is waited for.
            return [(f"{kind}-{index}", True, {})]
        # Several processes would take the memory of the same GPU.
        here = {"CUDA_VISIBLE_DEVICES": "-1"}
        if not self._asked.processes():
            return [("replicas", True, {**here, TF_CONFIG: "{}"})]
        cluster = _loopback(self._asked)
        return [
            (
                f"{kind}-{index}",
                is_chief({TF_CONFIG: _config(cluster, kind, index)}),
                {**here, TF_CONFIG: _config(cluster, kind, index)},
            )
            for kind, addresses in cluster.items()
            for index in range(len(addresses))
        ]

    def _start(self, name: str, chief: bool, environment: dict[str, str]) -> None:
        folder = self.folder / name
        folder.mkdir()
        with contextlib.ExitStack() as files:
            # The log of the first one goes to this process's log.
            log = None if chief else files.enter_context(open(folder / "log", "wb"))
            process = subprocess.Popen(
                self.command(name),
                env={
                    **self._environment,
                    **environment,
                    "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
                },
                # The process ends when this pipe is closed, also if this one is killed.
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # Ctrl-C is for this process, which ends the others.
                start_new_session=True,
            )
        self._workers.append(_Worker(name, folder, process, chief))

    def _tell(self, chief: _Worker) -> None:
        """Passes on what the first worker reports."""
        with contextlib.suppress(FileNotFoundError):
            lines = (chief.folder / PROGRESS).read_text(encoding="utf-8").split("\n")[:-1]
            for line in lines[self._told :]:
                progress.pass_on(TypeAdapter(progress.Report).validate_json(line))
            self._told = len(lines)

    def _refuse_ended(self, chief: _Worker) -> None:
        if all(worker.process.poll() is None for worker in self._workers):
            return
        ended = [w for w in self._workers if w.process.poll() not in (None, 0)]
        if not ended and chief.process.poll() is None:
            return  # a worker that ended before the first one
        if (chief.folder / RESULT).exists():
            return
        if not self._certain(ended):
            time.sleep(_CAUSE_SECONDS)
            ended = [w for w in self._workers if w.process.poll() is not None]
        ended.sort(key=lambda worker: not self._certain([worker]))
        cause = (ended or [chief])[0]
        if len(self._workers) == 1:
            raise WorkerError(cause.reason())
        raise WorkerError(f"{cause.name} of {len(self._workers)} processes: {cause.reason()}")

    @staticmethod
    def _certain(ended: list[_Worker]) -> bool:
        """Whether one of them did not fail because another one did."""
        return any(not worker.reason().startswith(_CONSEQUENCES) for worker in ended)

    def _end(self) -> None:
        """Ends what still runs. A parameter server waits for work until then."""
        for worker in self._workers:
            if worker.process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    worker.process.stdin.close()
            if worker.process.poll() is None:
                worker.process.terminate()
        until = time.monotonic() + _GRACE_SECONDS
        for worker in self._workers:
            try:
                worker.process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()


def _config(cluster: Mapping[str, list[str]], kind: str, index: int) -> str:
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


def _loopback(asked: Distribution) -> dict[str, list[str]]:
    """A cluster of this machine: what each task is, and if it listens."""
    counts = {"worker": asked.workers}
    if asked.kind == "parameter_server":
        counts = {"chief": 1, **counts, "ps": asked.servers}
    ports = iter(_free_ports(sum(counts.values())))
    return {kind: [f"127.0.0.1:{next(ports)}" for _ in range(count)] for kind, count in counts.items()}


def _free_ports(count: int) -> list[int]:
    found: list[int] = []
    # From the system's randomness: parallel runs with the same seed must not choose the same port.
    choice = random.SystemRandom()
    while len(found) < count:
        port = choice.choice(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in found:
                found.append(port)
    return found
