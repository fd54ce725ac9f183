"""The gate's metric in each slice."""

from __future__ import annotations

from collections.abc import Iterable

import plotly.graph_objects as go

from pipeline.report import palette
from pipeline.report.charts.layout import plain
from pipeline.report.data import ReportData
from pipeline.report.numbers import accuracy_text

_MOST_SLICES = 40


def slices(data: ReportData, shown: Iterable[str]) -> go.Figure | None:
    """How much each slice's metric differs from the baseline's, with the limits that hold for it."""
    names = slice_names(data)[:_MOST_SLICES]
    if not names:
        return None
    shown = set(shown)
    chart = plain(go.Figure(), height=110 + 30 * len(names))
    colors = palette.color_of(c.name for c in data.candidates)
    for index, candidate in enumerate(data.candidates):
        found = candidate.slices
        changes = [found[name].change if name in found else None for name in names]
        if all(change is None for change in changes):
            continue
        color, _ = colors[candidate.name]
        chart.add_trace(
            go.Scatter(
                x=changes,
                y=names,
                mode="markers",
                name=candidate.name,
                visible=candidate.name in shown,
                marker={
                    "color": color,
                    "size": 10,
                    "symbol": palette.SYMBOLS[index % len(palette.SYMBOLS)],
                },
                hovertext=[
                    f"{candidate.name}<br>{name}: {accuracy_text(change, signed=True)}"
                    for name, change in zip(names, changes, strict=True)
                ],
                hoverinfo="text",
            )
        )
    _add_slice_limits(chart, data, names)
    chart.add_vline(x=0, line={"color": palette.BASELINE, "width": 1})
    chart.update_xaxes(title=f"{data.metric}, difference from the baseline", tickformat="+.3~f", nticks=8)
    chart.update_yaxes(autorange="reversed", automargin=True, type="category")
    return chart


def slice_names(data: ReportData) -> list[str]:
    """Every slice, in the order in which it was judged."""
    return list(dict.fromkeys(name for candidate in data.candidates for name in candidate.slices))


def _add_slice_limits(chart: go.Figure, data: ReportData, names: list[str]) -> None:
    """A mark at the largest drop that each slice may have."""
    sign = -1 if data.ascending else 1
    limits = {
        judgement.slice_text: judgement.limit
        for candidate in data.candidates
        for judgement in candidate.slice_judgements
        if judgement.bound == "max_drop" and judgement.limit is not None
    }
    found = [name for name in names if name in limits]
    if found:
        chart.add_trace(
            go.Scatter(
                x=[sign * limits[name] for name in found],
                y=found,
                mode="markers",
                name="limit",
                marker={
                    "symbol": "line-ns-open",
                    "size": 18,
                    "color": palette.FAILED,
                    "line": {"width": 2},
                },
                hoverinfo="x+name",
            )
        )
