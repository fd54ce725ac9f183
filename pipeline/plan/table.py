"""The plan as a table, and as JSON."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from pipeline.base.texts import count_text
from pipeline.plan.node import EXAMPLE_GENS
from pipeline.plan.plan import Plan


def plan_table(plan: Plan, cached: set[str]) -> Table:
    """The plan's nodes, in order, with what each reads, who needs it, and whether it would run."""
    table = Table(title=f"Plan of {escape(plan.name)}", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("node", overflow="fold")
    table.add_column("reads", overflow="fold")
    table.add_column("for", overflow="fold")
    table.add_column("state", no_wrap=True)
    for node in plan.nodes:
        sources = dict.fromkeys(source.node for source in node.inputs.values())
        # Data go to every node that trains or judges; what matters is the model that it begins with.
        shown = [s for s in sources if s not in _DATA_NODES or not node.candidates]
        if len(shown) > 4:
            shown = [*shown[:2], f"… {len(shown) - 2} more"]
        shared = f"[cyan]shared by {len(node.candidates)}[/]: " if len(node.candidates) > 1 else ""
        users = shared + escape(", ".join(node.candidates)) if node.candidates else "all"
        state = "[green]cached[/]" if node.id in cached else "[yellow]would run[/]"
        if node.trains and node.id not in cached:
            state += ", trains"
        table.add_row(escape(node.id), escape(", ".join(shown)), users, state)
    return table


_DATA_NODES = frozenset({*EXAMPLE_GENS.values(), "AnomalyGate", "Transform"})


def plan_summary(plan: Plan, cached: set[str]) -> str:
    """The plan in one sentence."""
    trains = [node for node in plan.nodes if node.trains]
    left = sum(node.id not in cached for node in trains)
    shared = sum(len(node.candidates) > 1 for node in plan.nodes)
    return (
        f"{len(plan.nodes)} nodes for {count_text(len(plan.models), 'candidate')}: {len(cached)} cached, "
        f"{len(plan.nodes) - len(cached)} would run, {left} of them train"
        + (f"; {shared} shared by some of the candidates" if shared else "")
    )


def plan_json(plan: Plan, cached: set[str], data: Any) -> dict[str, Any]:
    """The plan as JSON values.

    Args:
        plan: The plan.
        cached: Ids of nodes that would not run.
        data: Which files it reads, as `data_files.choice` returns them.
    """
    return {
        "name": plan.name,
        "data": data,
        "nodes": [
            {
                "id": node.id,
                "component": node.component,
                "inputs": {key: f"{source.node}.{source.key}" for key, source in node.inputs.items()},
                "parameters": node.parameters,
                "candidates": list(node.candidates),
                "trains": node.trains,
                "cached": node.id in cached,
            }
            for node in plan.nodes
        ],
    }
