"""Garbage as a table, and as JSON."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.common.base.quantities import bytes_text
from pipeline.base.texts import count_text, printable
from pipeline.gc.garbage import Item, Plan
from pipeline.gc.removal import Removal


def show(console: Console, removal: Removal | Plan, each: bool = False) -> None:
    """Prints what is removed, what is kept and why, and how much it is.

    Args:
        console: The console to print on.
        removal: What was removed; or a plan, of what would be.
        each: Whether to print a line for each folder, rather than for each run.
    """
    plan = removal.plan if isinstance(removal, Removal) else removal
    done = removal if isinstance(removal, Removal) else None
    if plan.removed:
        console.print(_removed(plan.removed, "Removed" if done else "Would be removed", each))
    if plan.kept:
        console.print(_kept(plan))
    for note in plan.notes:
        console.print(note, style="dim", markup=False)
    if done is not None:
        for path, why in done.failures.items():
            console.print(
                f"{printable(str(path))} could not be removed: {why}",
                style="red",
                markup=False,
                soft_wrap=True,
            )
    console.print(_summary(plan, done), markup=False)


def to_json(removal: Removal | Plan) -> dict[str, Any]:
    """The removed and kept files as JSON values; sizes are in bytes."""
    plan = removal.plan if isinstance(removal, Removal) else removal
    return {
        "deleted": isinstance(removal, Removal),
        "removed": [dataclasses.asdict(item) for item in plan.removed],
        "kept": [{**dataclasses.asdict(kept), "artifacts": list(kept.artifacts)} for kept in plan.kept],
        "notes": list(plan.notes),
        "failures": removal.failures if isinstance(removal, Removal) else {},
        "removed_bytes": plan.removed_bytes,
        "kept_bytes": plan.kept_bytes,
    }


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("what", overflow="fold")
    table.add_column("run", overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("why", overflow="fold")
    return table


def _removed(items: tuple[Item, ...], title: str, each: bool) -> Table:
    table = _table(title)
    groups: dict[tuple[Any, ...], list[Item]] = {}
    for item in items:
        key = (item.kind, item.run, item.why, item.path, item.artifact) if each else (item.run, item.why)
        groups.setdefault(key, []).append(item)
    for group in groups.values():
        first = group[0]
        size = bytes_text(sum(item.bytes for item in group))
        table.add_row(Text(_what(group)), Text(first.run or "–"), size, Text(first.why))
    return table


def _what(group: list[Item]) -> str:
    """One thing by its name, several by their kinds."""
    if len(group) == 1:
        return group[0].what
    kinds = Counter(item.what.partition(" of ")[0] for item in group)
    named = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(3))
    more = len(group) - sum(count for _, count in kinds.most_common(3))
    return f"{named}, {more} more" if more else named


def _kept(plan: Plan) -> Table:
    table = _table("Kept")
    for kept in plan.kept:
        count = len(kept.artifacts)
        what = f"{count_text(count, 'artifact')}" if count else "nothing else"
        table.add_row(what, Text(kept.run or "–"), bytes_text(kept.bytes), Text(kept.why))
    return table


def _summary(plan: Plan, removal: Removal | None) -> str:
    kept = f"{bytes_text(plan.kept_bytes)} kept"
    if not plan.removed:
        return f"Nothing to remove; {kept}."
    failures = removal.failures if removal else {}
    gone = [item for item in plan.removed if item.path not in failures]
    amount = f"{bytes_text(sum(item.bytes for item in gone))} in "
    amount += count_text(len({item.path for item in gone if item.path}), "folder")
    if removal is not None:
        return f"{amount} removed, {kept}."
    return f"{amount} would be removed, {kept}; nothing was removed. Add --delete to do it."
