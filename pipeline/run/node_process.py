"""The process of one node: it runs the executor, and reports progress and outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from components.common.base import exclusive, progress
from pipeline.base import log_file
from pipeline.run.interruption import Interruption
from pipeline.run.sent_error import SentError


@dataclass(frozen=True)
class Order:
    """The work of the process.

    Attributes:
        node: Id of the node.
        log: File for what libraries print.
        work: Function of a module.
        argument: Its argument; both this and what it returns can be pickled.
    """

    node: str
    log: Path
    work: Callable[[Any], Any]
    argument: Any


@dataclass(frozen=True)
class Alone:
    """It waits until all other nodes are paused; they are until it sends this again."""


@dataclass(frozen=True)
class Done:
    """The result of the work."""

    result: Any


@dataclass(frozen=True)
class Failed:
    """The error of the work."""

    error: SentError


Message = progress.Report | Alone | Done | Failed


def main(connection: Connection) -> None:
    """Takes an order from the other end of a connection, and sends messages until it is done."""
    order: Order = connection.recv()
    with log_file.output_to(order.log, order.node):
        message: Message
        try:
            with (
                Interruption().by_signals(),
                progress.listening(connection.send),
                exclusive.provided_by(partial(_alone, connection)),
            ):
                message = Done(order.work(order.argument))
        except BaseException as error:
            message = Failed(SentError.of(error))
        connection.send(message)


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    connection.send(Alone())
    connection.recv()
    try:
        yield
    finally:
        connection.send(Alone())
