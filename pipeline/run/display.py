"""Progress of a run on screen."""

from __future__ import annotations

import re
import time
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pipeline.base.texts import clock_text
from pipeline.plan.plan import Plan


class RunDisplay:
    """Shows a run as it goes: one line for each node that ended, and one that moves for the current."""

    def __init__(self, console: Console, plan: Plan):
        self._console = console
        self._width = max(len(node.id) for node in plan.nodes)
        self._total = len(plan.nodes)
        self._ended = 0
        self._started = time.monotonic()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[node]}", style="bold", markup=False),
            TextColumn("{task.fields[text]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("", total=None, node="", text="")

    def __call__(self, event: Any) -> None:
        """Takes a `pipeline.run.local_runner.NodeEvent`."""
        if event.kind == "started":
            self._show(event.node, "")
        elif event.kind == "progress":
            self._show(event.node, event.text)
            if event.text.startswith("note: "):
                self._console.print(f"{'':6}  {event.node:{self._width}}  {event.text}", markup=False)
            # A log wants to know of epochs, and not of each percent.
            if not self._console.is_terminal and re.fullmatch(r"epoch \d+/\d+", event.text):
                self._console.print(f"{'':6}  {event.node:{self._width}}  {event.text}", markup=False)
        else:
            self._end(event)

    def close(self) -> None:
        """Takes the moving line away."""
        if self._console.is_terminal:
            self._progress.stop()

    def _show(self, node: str, text: str) -> None:
        if not self._console.is_terminal:
            return
        if text:
            self._progress.update(self._task, text=text)
        else:
            self._progress.reset(self._task, node=f"{node:{self._width}}", text="")
            self._progress.start()

    def _end(self, event: Any) -> None:
        self._ended += 1
        style = {"ran": "green", "cached": "dim", "failed": "bold red"}[event.kind]
        clock = clock_text(time.monotonic() - self._started)
        took = "        " if event.kind == "cached" else f"{event.seconds:6.1f} s"
        self._console.print(
            f"{self._ended:3}/{self._total}  {escape(event.node):{self._width}}  "
            f"[{style}]{event.kind:6}[/]  {took}  [dim]{clock}[/]"
        )
        if event.kind == "failed":
            self.close()
