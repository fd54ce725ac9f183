"""The tasks of a run on a cluster, one line for each change."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console

from pipeline.base.texts import clock_text
from pipeline.kubeflow.watch import Change

_STYLES = {
    "succeeded": "green",
    "cached": "dim",
    "failed": "bold red",
    "canceled": "red",
    "running": "yellow",
}


class Progress:
    """Prints the changes of a run's tasks.

    Args:
        console: Where to.
        tasks: Names of all tasks.
    """

    def __init__(self, console: Console, tasks: Sequence[str]) -> None:
        self._console = console
        self._count = len(tasks)
        self._width = max(map(len, tasks))
        self._began = time.monotonic()
        self._ended: set[str] = set()

    def show(self, change: Change) -> None:
        """Prints a change."""
        if change.state not in ("pending", "running"):
            self._ended.add(change.task)
        took = f"{change.seconds:8.1f} s" if change.seconds is not None else " " * 10
        clock = clock_text(time.monotonic() - self._began)
        self._console.print(
            f"{len(self._ended):3}/{self._count}  {change.task:{self._width}}  "
            f"[{_STYLES.get(change.state, 'dim')}]{change.state:9}[/]  {took}  [dim]{clock}[/]"
        )

    def notice(self, text: str) -> None:
        """Prints a sentence about the server."""
        self._console.print(text, markup=False)
