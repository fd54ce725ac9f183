"""Runs as a table, and as JSON."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.base.texts import duration_text
from pipeline.store.records import Run
from pipeline.store.state import State

_STYLES = {
    State.PUSHED: "green",
    State.NONE_PASSED: "yellow",
    State.JUDGED: "cyan",
    State.FAILED: "red",
    State.INTERRUPTED: "magenta",
    State.RUNNING: "cyan",
}


def runs_table(runs: list[Run], width: int = 200) -> Table:
    """Runs in the order given; times are local.

    Args:
        runs: At least one.
        width: Columns of the terminal; on a narrow one each run takes two lines.
    """
    rows = [_cells(run) for run in runs]
    wide = _table(list(_HEADS), rows)
    if Console(width=10_000).measure(wide).maximum <= width:
        return wide
    pairs = [["\n".join(cells[head] for head in pair) for pair in _PAIRS] for cells in map(_numbered, rows)]
    return _table(
        ["\n".join(pair) for pair in _PAIRS], [dict(zip(_PAIRS, row, strict=True)) for row in pairs]
    )


_HEADS = ("run", "config", "hash", "status", "took", "ran", "cached", "failed", "winner", "pushed")
_RIGHT = frozenset({"took", "ran", "cached", "failed"})
_PAIRS = (("run", "status"), ("config", "hash"), ("nodes", "took"), ("winner", "pushed"))


def _table(heads: list[str], rows: Sequence[Mapping[Any, str]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, leading=int("\n" in heads[0]))
    for head in heads:
        table.add_column(
            head, justify="right" if head in _RIGHT else "left", no_wrap=head == "run", overflow="fold"
        )
    for row in rows:
        table.add_row(*row.values())
    return table


def _cells(run: Run) -> dict[str, str]:
    """Head → cell, as markup."""
    style = _STYLES.get(run.status, "default")
    status = f"[{style}]{run.status}[/]"
    if run.failed_node:
        status += f" at {escape(run.failed_node)}"
    cells = (
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
    return dict(zip(_HEADS, cells, strict=True))


def _numbered(cells: Mapping[str, str]) -> dict[str, str]:
    """The cells with the numbers of nodes in one of them."""
    counts = ", ".join(f"{cells[head]} {head}" for head in ("ran", "cached", "failed") if cells[head])
    return {**cells, "nodes": counts}


def took(run: Run) -> str:
    """The duration of a run as text; empty if that is not known."""
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
