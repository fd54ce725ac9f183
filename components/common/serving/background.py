"""The server as a process, which ends with the one that started it.

`python -m components.common.serving.background` takes a `_Start` as JSON, and writes its ports, or why there are none,
as a line of JSON.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from components.common.base.errors import ParedownError
from components.common.serving import server
from components.common.serving.server import Listening, ServerOptions
from components.common.serving.versions import Model

_ROOT = Path(__file__).parents[3]
_END = 10.0


class ServerError(ParedownError):
    """The server did not start."""


@dataclass(frozen=True)
class _Start:
    """Arguments that a server is started with: name of each model → folder of its versions."""

    models: dict[str, str]
    options: ServerOptions


@contextmanager
def serving(models: Mapping[str, Path], options: ServerOptions) -> Iterator[Listening]:
    """Serves models in another process during the `with` block.

    Args:
        models: Name → folder of its versions.
        options: Options of the server. Ports of 0 are free ones.

    Raises:
        ServerError: If the server does not start, or a model does not load.
    """
    start = _Start({name: str(folder.absolute()) for name, folder in models.items()}, options)
    paths = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, json.dumps(dataclasses.asdict(start))],
        env={**os.environ, "PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout
    try:
        answer = process.stdout.readline()
        if not answer:
            raise ServerError(f"the server ended with exit code {process.wait(_END)} before it listened")
        found = json.loads(answer)
        if "error" in found:
            raise ServerError(found["error"])
        yield Listening(**found)
    finally:
        process.stdin.close()
        try:
            process.wait(_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def main(text: str) -> None:
    """Serves until standard input is closed, which also happens if the process at its other end is killed."""
    logging.basicConfig(stream=sys.stderr, level=logging.ERROR, format="%(message)s")
    start = TypeAdapter(_Start).validate_json(text)
    models = [
        Model(name, Path(folder), threads=start.options.threads) for name, folder in start.models.items()
    ]
    threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        server.run(models, start.options, lambda listening: _tell(listening, models))
    except ParedownError as error:
        _answer({"error": str(error)})


def _tell(listening: Listening, models: Sequence[Model]) -> None:
    errors = [
        next((version.error for version in model.versions.values()), "it has no version")
        for model in models
        if not model.ready
    ]
    _answer({"error": "; ".join(errors)} if errors else dataclasses.asdict(listening))


def _answer(found: Mapping[str, object]) -> None:
    with suppress(BrokenPipeError):
        print(json.dumps(found), flush=True)


def _end_with_input() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1])
