"""Common parts of all charts."""

from __future__ import annotations

import plotly.graph_objects as go

_MARGIN = {"l": 64, "r": 16, "t": 12, "b": 52}


def plain(chart: go.Figure, height: int) -> go.Figure:
    """Sets what all charts have in common; the page's script adds the theme's colours."""
    chart.update_layout(
        template="none",
        height=height,
        margin=_MARGIN,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        dragmode=False,  # fingers scroll the page
        hovermode="closest",
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "left", "x": 0},
        font={"size": 12},
        showlegend=True,
    )
    chart.update_xaxes(zeroline=False, automargin=True, title_standoff=12)
    chart.update_yaxes(zeroline=False, automargin=True, title_standoff=8)
    return chart
