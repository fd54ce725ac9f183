"""What each layer of an int8 file costs."""

from __future__ import annotations

from collections.abc import Collection

import plotly.graph_objects as go

from components.common.base.sensitivity import Sensitivity
from pipeline.report import palette
from pipeline.report.charts.layout import plain

_MOST_LAYERS = 30
# Error of rounding alone, in steps.
_ROUNDING = 12**-0.5


def layer_costs(found: Sensitivity, kept: Collection[str]) -> go.Figure | None:
    """Bars of the metric if a layer alone stays in float, or of errors if that was not measured.

    Args:
        found: The layers; lines are drawn at the metric in float and in int8.
        kept: Layers that a repair left in float, drawn in another colour.
    """
    measured = any(one.value is not None for one in found.layers)
    layers = [one for one in found.layers if one.value is not None or not measured][:_MOST_LAYERS]
    if not layers:
        return None
    names = [one.layer for one in layers]
    chart = plain(go.Figure(), height=96 + 24 * len(layers))
    chart.add_trace(
        go.Bar(
            x=[one.value if measured else one.rmse_scale for one in layers],
            y=names,
            orientation="h",
            marker={"color": [palette.PASSED if name in kept else palette.BASELINE for name in names]},
            hovertext=[f"{one.layer}<br>{one.why() or 'no likely reason'}" for one in layers],
            hoverinfo="text+x",
            showlegend=False,
        )
    )
    lines = [(found.in_float, "float"), (found.in_int8, "int8")] if measured else [(_ROUNDING, "rounding")]
    for value, text in lines:
        if value is not None:
            chart.add_vline(value, line={"width": 1.5, "dash": "dot"}, annotation_text=text)
    chart.update_xaxes(title=f"{found.metric}, this layer alone in float" if measured else "error in steps")
    chart.update_yaxes(autorange="reversed", automargin=True)
    return chart
