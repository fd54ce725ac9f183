"""Progress of a run on screen."""

from __future__ import annotations

import time

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from components.common.base.progress import Kind, Report
from pipeline.base.texts import clock_text, left_text, printable
from pipeline.plan.plan import Plan
from pipeline.run.launcher import Launched, NodeHook
from pipeline.store.state import State

_STYLES = {
    State.RAN: "green",
    State.CACHED: "dim",
    State.FAILED: "bold red",
    State.INTERRUPTED: "bold yellow",
    State.SKIPPED: "yellow",
}

# In a log: seconds between lines about epochs that ended, and about steps of an epoch.
_EPOCHS_SECONDS = 10
_STEPS_SECONDS = 60


class RunDisplay(NodeHook):
    """Shows a run while it goes: a line for each node that ended, and a moving one for each that is at work."""

    def __init__(self, console: Console, plan: Plan):
        self._console = console
        self._width = max(len(node.id) for node in plan.nodes)
        self._total = len(plan.nodes)
        self._ended = 0
        # Node → the seconds at which a line of it was last printed.
        self._printed: dict[str, float] = {}
        self._started = time.monotonic()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[node]}", style="bold", markup=False),
            TextColumn("{task.fields[text]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            # They lead to the log; Rich would lead them back to the terminal.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._tasks: dict[str, TaskID] = {}

    def before_node(self, node: str) -> None:
        self._tasks[node] = self._progress.add_task("", total=None, node=node, text="")
        self._draw()

    def on_progress(self, node: str, seconds: float, said: Report) -> None:
        line = said.line("" if said.left is None else left_text(said.left))
        if said.kind is Kind.NOTE:
            self._line(node, f"note: {line}")
        elif self._console.is_terminal:
            self._progress.update(self._tasks[node], text=printable(line))
            self._draw()
        elif said.kind is Kind.LAST_EPOCH or self._due(said.kind, seconds, self._printed.get(node)):
            self._printed[node] = seconds
            self._line(node, line)

    @staticmethod
    def _due(kind: Kind, seconds: float, printed: float | None) -> bool:
        """Whether a log has a line for this: for each epoch, and for what lies between if it takes long."""
        if kind is Kind.EPOCH:
            return printed is None or seconds - printed >= _EPOCHS_SECONDS
        return seconds - (printed or 0.0) >= _STEPS_SECONDS

    def _line(self, node: str, text: str) -> None:
        self._console.print(f"{'':6}  {node:{self._width}}  {printable(text)}", markup=False)

    def after_node(self, node: str, launched: Launched) -> None:
        self._ended += 1
        if node in self._tasks:
            self._progress.remove_task(self._tasks.pop(node))
            # Rich draws in a thread of its own. If it drew one line less between the moment at which the text below is
            # laid out and that at which it is written, the text would erase a line above.
            self._progress.refresh()
        style = _STYLES[launched.state]
        clock = clock_text(time.monotonic() - self._started)
        took = (
            "        " if launched.state in (State.CACHED, State.SKIPPED) else f"{launched.seconds:6.1f} s"
        )
        self._console.print(
            f"{self._ended:3}/{self._total}  {escape(node):{self._width}}  "
            f"[{style}]{launched.state:7}[/]  {took}  [dim]{clock}[/]"
        )
        if launched.state in (State.FAILED, State.INTERRUPTED):
            self.close()

    def _draw(self) -> None:
        if self._console.is_terminal:
            self._progress.start()

    def close(self) -> None:
        """Removes the moving lines; they come back if a node goes on."""
        if self._console.is_terminal:
            self._progress.stop()
