"""Runs of `paredown` that spare the imports: forks of a process that has imported what a run needs.

Importing takes most of a short run's time. A fork is a process of its own, which can be killed like any other.

Each line of the server's standard input is a request, `{"arguments", "script", "folder", "environment", "out",
"err"}`; the answer is the process's number. The exit code is in a file beside `out`.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import re
import runpy
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.tree import map_paredown

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass
class Outcome:
    """What a command gave back."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        return json.loads(self.out)


@dataclass(frozen=True)
class Fork:
    """A run in a process of its own.

    Attributes:
        pid: Process id of the process.
        out: File that has its standard output.
        err: File that has its standard error.
    """

    pid: int
    out: Path
    err: Path

    def alive(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def kill(self) -> bool:
        """Kills it; returns whether it was still there to be killed."""
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return self.code() is None

    def wait_for(self, pattern: str, timeout: float = 300) -> None:
        """Waits until what it has written to its standard error has a match of a pattern."""
        end = time.monotonic() + timeout

        def has_written() -> str:
            return self.err.read_text(encoding="utf-8") if self.err.exists() else ""

        while not re.search(pattern, written := has_written()):
            assert self.alive() and time.monotonic() < end, written
            time.sleep(0.02)

    def code(self, timeout: float = 900) -> int | None:
        """Waits for its end; None if it was killed."""
        end = time.monotonic() + timeout
        while self.alive():
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
                raise TimeoutError(self.err.read_text(encoding="utf-8"))
            time.sleep(0.02)
        file = _code_file(self.out)
        return int(file.read_text(encoding="utf-8")) if file.exists() else None

    def outcome(self, timeout: float = 900) -> Outcome:
        """Waits for its end, which is not to be by a signal."""
        code = self.code(timeout)
        assert code is not None, "killed"
        return Outcome(code, *(file.read_text(encoding="utf-8") for file in (self.out, self.err)))


class Warm:
    """The client of a server that it starts.

    Args:
        program: Module that the server imports first, e.g. one that registers a technique; none if empty.
    """

    def __init__(self, program: str = "") -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="warm-")
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.warm", program],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._count = 0

    def start(
        self, arguments: tuple[str, ...], folder: Path, environment: dict[str, str], script: str = ""
    ) -> Fork:
        """Starts `paredown`, or a Python script instead of it, with these arguments in a folder."""
        self._count += 1
        out, err = (Path(self._folder.name) / f"{self._count}.{name}" for name in ("out", "err"))
        request = {
            "arguments": arguments,
            "script": script,
            "folder": str(folder),
            "environment": environment,
            "out": str(out),
            "err": str(err),
        }
        stdin, stdout = self._server.stdin, self._server.stdout
        assert stdin is not None and stdout is not None
        stdin.write(json.dumps(request) + "\n")
        stdin.flush()
        return Fork(int(stdout.readline()), out, err)

    def stop(self) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()
        self._folder.cleanup()


@functools.cache
def warm(program: str = "") -> Warm:
    """The one server of this process for a program; it ends with it."""
    started = Warm(program)
    atexit.register(started.stop)
    return started


def _code_file(out: Path) -> Path:
    return out.with_suffix(".code")


def _serve(requests: IO[str], answers: int) -> None:
    """Serves until standard input ends."""
    signal.signal(signal.SIGCHLD, lambda number, frame: _clear_away())
    for line in requests:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(request)
        os.write(answers, f"{child}\n".encode())


def _clear_away() -> None:
    """Waits for forks that have ended; with SIG_IGN, their processor time would not be known."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _run(request: dict[str, object]) -> None:
    from pipeline import cli

    out = Path(str(request["out"]))
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(str(request[name]), os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        os.chdir(str(request["folder"]))
        os.environ.clear()
        os.environ.update(request["environment"])  # type: ignore[call-overload]
        sys.path[0] = str(request["folder"])
        arguments = list(request["arguments"])  # type: ignore[call-overload]
        if request["script"]:
            sys.argv = [str(request["script"]), *arguments]
            map_paredown()
            runpy.run_path(sys.argv[0], run_name="__main__")
        else:
            cli.main(arguments, prog_name="paredown")
        code = 0
    except SystemExit as error:
        code = int(error.code) if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    _code_file(out).write_text(str(code), encoding="utf-8")
    os._exit(code)


if __name__ == "__main__":
    answers = os.dup(1)
    os.dup2(2, 1)  # what an import prints is not an answer
    if sys.argv[1]:
        importlib.import_module(
            sys.argv[1]
        )  # before anything of `pipeline`, as it may register a technique

    from pipeline.environment import prepare

    prepare()

    from pipeline import cli  # noqa: F401
    from pipeline.checks import preflight  # noqa: F401
    from pipeline.run import local_runner  # noqa: F401

    _serve(sys.stdin, answers)
