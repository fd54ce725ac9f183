"""The kinds of targets as people see them. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.targets.registry import TARGETS
from components.targets.target import Target


def show(console: Console) -> None:
    """Prints each kind with what is measured for it, what has to be installed, and which techniques pay."""
    for number, (kind, target) in enumerate(TARGETS.items()):
        if number:
            console.print()
        console.print(Text(kind, style="bold").append(f"  {target.summary}", style="not bold"))
        facts = Table.grid(padding=(0, 1))
        facts.add_column(no_wrap=True, style="dim")
        facts.add_column(overflow="fold")
        for head, text in _facts(target):
            facts.add_row(f"  {head}", Text(text))
        console.print(facts)
        console.print(advice(target))


def _facts(target: Target) -> list[tuple[str, str]]:
    options = [name for name in target.options.model_fields if name != "kind"]
    return [
        *(("measures" if not index else "", text) for index, text in enumerate(target.measures)),
        ("installed", _installed(target)),
        *([("options", ", ".join(options))] if options else []),
        *([("push", ", ".join(target.pushes))] if target.pushes else []),
    ]


def _installed(target: Target) -> str:
    version = target.installed()
    if version is None:
        return f"no; run: {target.install}"
    return f"{target.package} {version}" if version else "yes, with Paredown"


def advice(target: Target) -> Table:
    """The techniques that help on a target, and why."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("technique", overflow="fold")
    table.add_column("pays", no_wrap=True)
    table.add_column("why", overflow="fold")
    for one in target.advice:
        table.add_row(one.technique, Text("yes", "green") if one.pays else Text("no", "yellow"), one.why)
    return table


def to_json() -> list[dict[str, Any]]:
    """The kinds as JSON values."""
    return [
        {
            "kind": kind,
            "summary": target.summary,
            "runtime": target.runtime,
            "measures": list(target.measures),
            "package": target.package or None,
            "installed": target.installed() is not None,
            "version": target.installed() or None,
            "install": target.install or None,
            "options": [name for name in target.options.model_fields if name != "kind"],
            "push": list(target.pushes),
            "advice": [
                {"technique": one.technique, "pays": one.pays, "why": one.why} for one in target.advice
            ],
        }
        for kind, target in TARGETS.items()
    ]
