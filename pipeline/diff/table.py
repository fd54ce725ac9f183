"""Differences of two runs as people see them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.common.base.limit_bounds import BOUNDS
from components.common.base.quantities import bytes_text, number_text, time_text
from components.evaluator.judgement import RATIOS
from pipeline.diff.difference import CHANGED, EQUAL, Change, RunDiff, Section
from pipeline.store.records import Run

_SIZES = (
    "size",
    "gzip size",
    "baseline size",
    "memory",
    "baseline memory",
    "flash",
    "NPU SRAM",
    "NPU flash",
)
_SIZE_SECTIONS = ("gate.size", "gate.gzip_size", "gate.brotli_size", "gate.memory", "gate.flash")
_SIZE_OPTIONS = ("target.ram", "target.flash")
_LATENCIES = ("latency", "baseline latency")
_LATENCY_SECTIONS = ("gate.latency", "gate.p99")
_DIGEST = 12  # hexadecimal digits of a hash that are shown


def show(console: Console, compared: RunDiff) -> None:
    """Prints the two runs, then section by section what differs, or that nothing does."""
    console.print(_runs(compared))
    for section in compared.sections:
        title = Text(section.name, style="bold")
        if section.state == EQUAL:
            console.print(title.append("  no difference", style="green"))
        else:
            if not section.changes:
                title.append("  no difference known", style="yellow")
            console.print(title)
        if section.changes:
            console.print(_changes(section))
        for text in section.unknown:
            console.print(f"  not known: {text}", style="yellow", markup=False)


def _runs(compared: RunDiff) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("")
    table.add_column("first", overflow="fold")
    table.add_column("second", overflow="fold")
    for name, value in _facts(compared.first).items():
        table.add_row(name, Text(value), Text(_facts(compared.second)[name]))
    return table


def _facts(run: Run) -> dict[str, str]:
    return {
        "run": run.id,
        "pipeline": run.pipeline,
        "config": run.config_path or "not recorded",
        "status": run.status,
        "winner": run.winner or "–",
    }


def _changes(section: Section) -> Table:
    table = Table(box=box.SIMPLE, show_header=False, show_edge=False, padding=(0, 1))
    table.add_column(overflow="fold", ratio=3)
    table.add_column(overflow="fold", ratio=4)
    table.add_column(overflow="fold", ratio=4)
    grouped: dict[str, list[Change]] = {}
    for change in section.changes:
        grouped.setdefault(change.group, []).append(change)
    for group, found in grouped.items():
        whole = [change for change in found if not change.key]
        if group and not whole:
            table.add_row(Text(f"  {group}", style="bold"))
        for change in found:
            if change.kind != CHANGED and [] in (change.before, change.after):
                continue  # a candidate that passed has no reasons
            name = change.key or group
            indent = "    " if group and change.key else "  "
            table.add_row(Text(indent + name), *_sides(change))
    return table


def _sides(change: Change) -> Iterator[Text]:
    before, after = (Text(value_text(value, change.key)) for value in (change.before, change.after))
    if change.kind == "added":
        before = Text("–", style="dim")
    elif change.kind == "removed":
        after = Text("–", style="dim")
    else:
        after.append(_delta(change), style="dim")
    yield before
    yield after


def _delta(change: Change) -> str:
    if not all(_is_number(value) for value in (change.before, change.after)):
        return ""
    difference = change.after - change.before
    sign = "-" if difference < 0 else "+"
    if _in_bytes(change.key):
        return f"  ({sign}{bytes_text(abs(difference))})"
    if _in_milliseconds(change.key):
        return f"  ({sign}{time_text(abs(difference))})"
    return f"  ({sign}{number_text(abs(difference))})"


def _in_bytes(key: str) -> bool:
    """Whether a key is a size of a model, or a limit on one."""
    section, _, bound = key.rpartition(".")
    return key in (*_SIZES, *_SIZE_OPTIONS) or (
        section in _SIZE_SECTIONS and bound in BOUNDS and bound not in RATIOS
    )


def _in_milliseconds(key: str) -> bool:
    """Whether a key is a latency, or a limit on one."""
    section, _, bound = key.rpartition(".")
    return key in _LATENCIES or (section in _LATENCY_SECTIONS and bound in BOUNDS and bound not in RATIOS)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def value_text(value: Any, key: str) -> str:
    """A value of a change as people read it.

    Args:
        value: Value of the first or the second run.
        key: Key of the change; sizes and latencies get their unit.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if _in_bytes(key) and _is_number(value):
        return bytes_text(value)
    if _in_milliseconds(key) and _is_number(value):
        return f"{value:.4g} ms"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        return _shortened(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "\n".join(value) if value else "[]"
    return json.dumps(_without_none(value), ensure_ascii=False)


def _shortened(text: str) -> str:
    """A text with its hashes cut to what people compare."""
    return " ".join(word[:_DIGEST] if _is_digest(word) else word for word in text.split(" "))


def _is_digest(word: str) -> bool:
    return len(word) in (40, 64) and all(letter in "0123456789abcdef" for letter in word)


def _without_none(value: Any) -> Any:
    """A value without what was not set: a step's options beside the one technique that it has."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value
