"""Runs as a table, and as JSON."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from pipeline.base.texts import duration_text
from pipeline.store.records import Run
from pipeline.store.state import State

_STYLES = {
    State.PUSHED: "green",
    State.NONE_PASSED: "yellow",
    State.FAILED: "red",
    State.INTERRUPTED: "magenta",
    State.RUNNING: "cyan",
}


def runs_table(runs: list[Run]) -> Table:
    """Runs in the order given; times are local."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("run", no_wrap=True)
    table.add_column("config", overflow="fold")
    table.add_column("hash", no_wrap=True)
    table.add_column("status", overflow="fold")
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("ran", justify="right")
    table.add_column("cached", justify="right")
    table.add_column("failed", justify="right")
    table.add_column("winner", overflow="fold")
    table.add_column("pushed", overflow="fold")
    for run in runs:
        style = _STYLES.get(run.status, "default")
        status = f"[{style}]{run.status}[/]"
        if run.failed_node:
            status += f" at {escape(run.failed_node)}"
        table.add_row(
            escape(run.id),
            escape(run.pipeline),
            run.config_hash[:8],
            status,
            took(run),
            str(run.ran),
            str(run.cached),
            str(run.failed) if run.failed else "",
            escape(run.winner or ""),
            escape(_version(run)),
        )
    return table


def took(run: Run) -> str:
    """How long a run took, in words; empty if that is not known."""
    if run.finished is None:
        return ""
    return duration_text((run.finished - run.started).total_seconds())


def _version(run: Run) -> str:
    if not run.pushed:
        return ""
    version = os.path.basename(run.pushed)
    return version if run.pushed_now or not run.recorded else f"{version} (before)"


def to_json(run: Run) -> dict[str, Any]:
    """A run's facts, with times in ISO 8601."""
    facts = dataclasses.asdict(run)
    for name in ("started", "finished"):
        moment = facts[name]
        facts[name] = moment.isoformat() if moment else None
    return facts
