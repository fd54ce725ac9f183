"""Work that is timed, during which nothing else of the run may be at work.

Executors run inside an orchestrator that they do not know. If it runs nodes side by side, it pauses the others
for the length of a section; elsewhere a section changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

Section = Callable[[], AbstractContextManager[None]]

_section: ContextVar[Section] = ContextVar("section", default=nullcontext)


@contextmanager
def section() -> Iterator[None]:
    """Runs the `with` block while all other nodes are paused."""
    with _section.get()():
        yield


@contextmanager
def provided_by(pause: Section) -> Iterator[None]:
    """Enters `pause()` for every section inside the `with` block."""
    before = _section.set(pause)
    try:
        yield
    finally:
        _section.reset(before)
