"""Progress of a long piece of work, reported to listeners.

Executors run inside an orchestrator that they do not know. On one machine the command line listens and draws;
elsewhere there is no listener, and progress goes to the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum


class Kind(str, Enum):
    """Subject of a report; listeners use it to decide where to show the report."""

    STEP = "step"  # how far it is, until the next report
    EPOCH = "epoch"  # an epoch ended
    LAST_EPOCH = "last_epoch"  # training ended
    NOTE = "note"  # something to know, however far it is


@dataclass(frozen=True)
class Report:
    """Progress of the work.

    Attributes:
        text: For people, as `epoch 2/4, 35 %`.
        kind: What it is about.
        left: Estimated seconds until the training ends; None if that is not known.
        figures: Figures of the training so far, as `loss 0.051, accuracy 0.97`.
    """

    text: str
    kind: Kind = Kind.STEP
    left: float | None = None
    figures: str = ""

    def line(self, left: str = "") -> str:
        """All of it in one line.

        Args:
            left: The seconds as text.
        """
        return ", ".join(part for part in (self.text, left, self.figures) if part)


Listener = Callable[[Report], None]

# One per thread: nodes that run side by side are waited for in threads.
_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("listeners", default=())


def report(text: str, kind: Kind = Kind.STEP, left: float | None = None, figures: str = "") -> None:
    """Says how far the work has come; see `Report`."""
    pass_on(Report(text, kind, left, figures))


def note(text: str) -> None:
    """Says something that people should know about the work."""
    pass_on(Report(text, Kind.NOTE))


def pass_on(said: Report) -> None:
    """Gives a report, which another process may have made, to the listeners."""
    listeners = _listeners.get()
    for listener in listeners:
        listener(said)
    if not listeners:
        logging.getLogger(__name__).info(said.line())


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Calls `listener` with every report that this thread makes inside the `with` block."""
    before = _listeners.set((*_listeners.get(), listener))
    try:
        yield
    finally:
        _listeners.reset(before)
