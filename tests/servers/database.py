"""What MariaDB and PostgreSQL have in common for a test: starting, waiting, stopping, asking."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.account import popen_arguments

_PATIENCE = 60  # seconds; a start takes one or two


@dataclass(frozen=True)
class Database:
    """A running database server on loopback.

    Attributes:
        scheme: Scheme of its URLs, `mysql` or `postgresql`.
        port: TCP port on 127.0.0.1.
        user: A user that may create databases.
        password: The user's.
        folder: Holds its data, its socket and its log.
        ask: Runs a statement as the server's administrator, in a database if one is named, and
            returns the rows, each a list of texts.
    """

    scheme: str
    port: int
    user: str
    password: str
    folder: Path
    ask: Callable[..., list[list[str]]]

    def url(self, database: str, query: str = "") -> str:
        """URL of a metadata store on this server."""
        return f"{self.scheme}://{self.user}@127.0.0.1:{self.port}/{database}{query}"


def free_port() -> int:
    """A free TCP port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(
    command: list[str], package_user: str, log: Path, ask: Callable[..., list[list[str]]]
) -> Iterator[None]:
    """Runs a server until the block ends; begins the block when it answers.

    Args:
        command: What runs it in the foreground.
        package_user: The account for root to run it as.
        log: Gets what it prints.
        ask: As `Database.ask`.

    Raises:
        RuntimeError: With the end of its log, if it does not come up.
    """
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command,
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            **popen_arguments(package_user),
        )
    try:
        _wait(process, ask, log)
        yield
    finally:
        process.send_signal(signal.SIGINT if package_user == "postgres" else signal.SIGTERM)
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _wait(process: subprocess.Popen[bytes], ask: Callable[..., list[list[str]]], log: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until and process.poll() is None:
        try:
            ask("SELECT 1")
            return
        except RuntimeError:  # no socket yet, or one that answers "starting up"
            time.sleep(0.1)
    process.kill()
    tail = log.read_text(errors="replace")[-2000:]
    raise RuntimeError(f"{process.args!r} did not come up:\n{tail}")


def ask_with(command: list[str], environment: dict[str, str]) -> list[list[str]]:
    """Rows that a database's own client prints, tab-separated.

    Raises:
        RuntimeError: With the client's message, if the statement fails.
    """
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_PATIENCE)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return [line.split("\t") for line in done.stdout.splitlines()]
