"""A figure of each layer of each file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import plotly.graph_objects as go

from components.measurer.file_facts import Layer
from pipeline.report import palette
from pipeline.report.charts.layout import plain
from pipeline.report.data import ReportData
from pipeline.report.layer_figures import LayerFigure

_MOST_LAYERS = 40


def layers(data: ReportData, figure: LayerFigure, shown: Iterable[str]) -> go.Figure | None:
    """Bars for each layer of each candidate's file, the baseline's with them.

    Args:
        data: Data of the run.
        figure: What to draw.
        shown: Names of what is drawn at first; the page has a box to tick for each of the others.
    """
    files = layer_files(data)
    names = layer_names(files, figure)[:_MOST_LAYERS]
    if not names:
        return None
    shown = set(shown)
    chart = plain(go.Figure(), height=72 + len(names) * (14 + 13 * len(shown)))
    colors = palette.color_of(name for name in files if name != "baseline")
    for name, found in files.items():
        color, cycle = colors.get(name, (palette.BASELINE, 0))
        values = [figure.value(found[layer]) if layer in found else None for layer in names]
        chart.add_trace(
            go.Bar(
                x=values,
                y=names,
                orientation="h",
                name=name,
                visible=name in shown,
                marker={
                    "color": color,
                    "pattern": {"shape": palette.PATTERNS[cycle % len(palette.PATTERNS)]},
                },
                hovertext=[
                    f"{name}<br>{layer}: {'–' if v is None else figure.text(v)}"
                    for layer, v in zip(names, values, strict=True)
                ],
                hoverinfo="text",
            )
        )
    chart.update_xaxes(figure.axis)
    chart.update_yaxes(autorange="reversed", automargin=True)
    chart.update_layout(barmode="group", bargap=0.25, bargroupgap=0.1, showlegend=False)
    return chart


def layer_files(data: ReportData) -> dict[str, dict[str, Layer]]:
    """The baseline's layers and each candidate's, if they are known."""
    files = {"baseline": data.baseline_layers, **{c.name: c.layers for c in data.candidates}}
    return {name: found for name, found in files.items() if found}


def layer_names(files: Mapping[str, Mapping[str, Layer]], figure: LayerFigure) -> list[str]:
    """Every layer that has a figure in one of the files, the baseline's in its order first."""
    return list(
        dict.fromkeys(
            name
            for found in files.values()
            for name, layer in found.items()
            if figure.value(layer) is not None
        )
    )
