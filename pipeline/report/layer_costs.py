"""What each layer of int8 files costs: of those whose conversion measured it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.common.base.sensitivity import REPAIR, SENSITIVITY, Repair, Sensitivity
from pipeline.explain import sensitivity_table
from pipeline.report.charts.layer_costs import layer_costs
from pipeline.report.data import ReportData
from pipeline.report.table import Cell, Table


@dataclass(frozen=True)
class LayerCosts:
    """One file.

    Attributes:
        name: Its candidates, or the node if there are none.
        summary: What the whole file loses.
        repair: What a repair did; empty if there was none.
        met: Whether the repaired file meets the limits on held-back examples.
        chart: What the layers cost.
        table: The same with reasons.
    """

    name: str
    summary: str
    repair: str
    met: bool
    chart: Any
    table: Table


def found(data: ReportData) -> list[LayerCosts]:
    """Every file of a run whose layers were examined."""
    names: dict[str, list[str]] = {}
    for candidate in data.candidates:
        producer = None if candidate.model is None else data.graph.producer(candidate.model)
        if producer is not None:
            names.setdefault(producer.node, []).append(candidate.name)
    costs = []
    for step in data.steps:
        sensitivity = Sensitivity.from_property(step.facts, SENSITIVITY)
        if sensitivity is None:
            continue
        repair = Repair.from_property(step.facts, REPAIR)
        costs.append(
            LayerCosts(
                ", ".join(names.get(step.node, [])) or step.node,
                sensitivity_table.summary(sensitivity),
                "" if repair is None else repair.text(),
                repair is None or repair.met,
                layer_costs(sensitivity, [] if repair is None else repair.kept()),
                _table(sensitivity),
            )
        )
    return costs


def _table(sensitivity: Sensitivity) -> Table:
    columns = sensitivity_table.columns(sensitivity)
    words = {0, 1, len(columns) - 2, len(columns) - 1}
    rows = tuple(tuple(map(Cell, row)) for row in sensitivity_table.rows(sensitivity))
    return Table("Layers of the int8 file", tuple(columns), rows, texts=frozenset(words))
