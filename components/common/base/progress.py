"""How far a long piece of work has come, reported to whoever listens.

Executors run inside an orchestrator that they know nothing of. On one machine the command line listens
and draws; elsewhere nobody does, and progress goes to the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[str], None]

_listeners: list[Listener] = []


def report(text: str) -> None:
    """Says how far the work has come, e.g. `epoch 2/4, loss 0.051`."""
    for listener in _listeners:
        listener(text)
    if not _listeners:
        logging.getLogger(__name__).info(text)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Calls `listener` with every report made inside the `with` block."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
