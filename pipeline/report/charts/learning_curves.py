"""Loss and metrics of a training step."""

from __future__ import annotations

import math

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pipeline.report import palette
from pipeline.report.charts.layout import plain
from pipeline.report.data import Curve


def learning_curve(curve: Curve) -> go.Figure | None:
    """Loss and metrics of a training step after each epoch; None if there is only one."""
    if len(curve.epochs) < 2:
        return None
    named = [n for n in curve.epochs[0] if n not in ("epoch", "learning_rate") and not n.startswith("val_")]
    # Loss first; of several metrics each has a row.
    rows = sorted(named, key=lambda name: (name != "loss", "loss" in name, name))[:3]
    chart = plain(
        make_subplots(rows=len(rows), cols=1, shared_xaxes=True, vertical_spacing=0.09),
        height=90 + 125 * len(rows),
    )
    epochs = [epoch["epoch"] for epoch in curve.epochs]
    for row, name in enumerate(rows, 1):
        for prefix, label, color, dash in (
            ("", "training", palette.CANDIDATES[0], "solid"),
            ("val_", "evaluation", palette.CANDIDATES[1], "dash"),
        ):
            if prefix + name not in curve.epochs[0]:
                continue
            chart.add_trace(
                go.Scatter(
                    x=epochs,
                    y=[epoch.get(prefix + name) for epoch in curve.epochs],
                    mode="lines+markers",
                    line={"color": color, "dash": dash, "width": 2},
                    marker={"symbol": "circle" if dash == "solid" else "square", "size": 6},
                    name=label,
                    legendgroup=label,
                    showlegend=row == 1,
                ),
                row=row,
                col=1,
            )
        if curve.kept_epoch is not None:
            chart.add_vline(
                x=curve.kept_epoch, line={"dash": "dot", "width": 1, "color": palette.BASELINE}, row=row
            )
        chart.update_yaxes(title=name, row=row, col=1, nticks=4, automargin=True)
    step = math.ceil(len(epochs) / 8)
    chart.update_xaxes(tick0=epochs[0], dtick=step)
    chart.update_xaxes(title="epoch", row=len(rows), col=1)
    return chart
