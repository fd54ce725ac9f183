"""Times of single inferences."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from components.measurer.measured import PERCENTILES, Side
from pipeline.report import palette
from pipeline.report.charts.layout import plain
from pipeline.report.data import Candidate, ReportData

# SI prefixes, as in "300 µs".
_SECONDS = {"tickformat": "~s", "ticksuffix": "s"}


def latencies(data: ReportData) -> go.Figure | None:
    """Times of single inferences, candidate beside baseline, which were measured alternately.

    Boxes are the middle half, whiskers reach from the 5th to the 95th percentile. If single times were not kept,
    percentiles 50, 90 and 99 are drawn.
    """
    measured = [c for c in data.candidates if c.measured.latency]
    if not measured:
        return None
    measured = measured[::-1]  # plotly draws the first one at the bottom
    chart = plain(go.Figure(), height=110 + 44 * len(measured))
    styles: tuple[tuple[Side, str, float], ...] = (
        ("baseline", palette.BASELINE, 1.5),
        ("candidate", palette.CANDIDATES[0], 2.5),
    )
    for side, color, width in styles:
        _add_boxes(chart, [c for c in measured if c.latencies], side, color, width)
        _add_percentiles(chart, [c for c in measured if not c.latencies], side, color)
    chart.update_xaxes(title="time of one inference", type="log", dtick="D2", **_SECONDS)
    chart.update_yaxes(automargin=True, categoryorder="array", categoryarray=[c.name for c in measured])
    chart.update_layout(boxmode="group", boxgap=0.35, boxgroupgap=0.15)
    return chart


def _add_boxes(chart: go.Figure, candidates: list[Candidate], side: Side, color: str, width: float) -> None:
    """Quantiles of every repetition; the page does not hold the repetitions."""
    if not candidates:
        return
    seconds = [np.asarray(getattr(c.latencies, side)) / 1000 for c in candidates]
    quantiles = np.array([np.percentile(times, (5, 25, 50, 75, 95)) for times in seconds]).T.tolist()
    chart.add_trace(
        go.Box(
            y=[c.name for c in candidates],
            **dict(zip(("lowerfence", "q1", "median", "q3", "upperfence"), quantiles, strict=True)),
            orientation="h",
            name=side,
            marker={"color": color},
            line={"color": color, "width": width},
            hoverinfo="x+name",
        )
    )


def _add_percentiles(chart: go.Figure, candidates: list[Candidate], side: Side, color: str) -> None:
    """Percentiles 50, 90 and 99 as points on a line."""
    if not candidates:
        return
    x: list[float | None] = []
    y: list[str] = []
    for candidate in candidates:
        times = [candidate.measured.milliseconds(side, p) for p in PERCENTILES]
        x += [*(None if time is None else time / 1000 for time in times), None]
        y += [candidate.name] * 4
    signs = ["circle", "line-ns-open", "triangle-left", "circle"]
    if side == "baseline":
        signs = [sign if sign.endswith("-open") else f"{sign}-open" for sign in signs]
    chart.add_trace(
        go.Scatter(
            x=x,
            y=y,
            mode="lines+markers",
            marker={"color": color, "size": 10, "symbol": signs * len(candidates)},
            line={"color": color, "width": 1.5},
            name=f"{side}: p50, p90, p99",
            hoverinfo="x+name",
        )
    )
