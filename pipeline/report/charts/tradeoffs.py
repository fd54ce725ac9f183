"""Candidates by the gate's metric and a cost, of one run or of two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from pipeline.report import palette
from pipeline.report.advice import gate_range
from pipeline.report.charts.layout import plain
from pipeline.report.data import Candidate, Cost, ReportData
from pipeline.report.layer_figures import BYTES_AXIS
from pipeline.report.numbers import accuracy_text, bytes_text, ratio_text
from pipeline.report.pareto import Point, front

_HEIGHT = 334
# Share of the plot area that a character's width and a line's height take in a small chart.
_CHARACTER, _LINE = 0.024, 0.07

AXES: dict[Cost, str] = {
    "file": "file size",
    "gzip": "gzip-compressed size",
    "brotli": "Brotli-compressed size",
    "latency": "latency, × the baseline's",
    "memory": "memory on the target",
    "npu_cycles": "NPU cycles, by Vela's estimate",
    "p99": "p99 on a server in the worst mode, × the baseline's",
}
_TIMES = {"tickformat": "~g", "ticksuffix": " ×"}
_UNITS = {"latency": _TIMES, "p99": _TIMES, "npu_cycles": {"tickformat": "~s"}}


def tradeoff(data: ReportData, figure: Cost) -> go.Figure | None:
    """The gate's metric against a cost, with the Pareto front and the region that the gate allows.

    Args:
        data: Data of the run.
        figure: Sizes and memory in bytes; `latency` and `p99` in relation to the baseline's.

    Returns:
        None if no candidate has both figures.
    """
    points = measured_points(data, figure)
    accuracy, cost = data.baseline("accuracy"), _baseline_cost(data, figure)
    if not points:
        return None
    shown = [*points, *([Point("baseline", cost, accuracy)] if accuracy is not None and cost else [])]
    chart = plain(go.Figure(), height=_HEIGHT)
    limits = gate_range(data, figure)
    across = _cost_range(shown, limits)
    allowed = gate_range(data, "accuracy")
    up = _axis_range([*(p.quality for p in shown), *_given(*allowed)], False)
    _add_region(chart, across, up, limits, allowed)
    best = front(points, data.ascending)
    _add_front(chart, best, across, up, data.ascending)
    _add_points(chart, data, figure, shown, {p.name for p in best}, across, up)
    title = AXES[figure]
    if figure == "latency" and data.gate:
        title = f"p{data.gate.latency.percentile} {title}"
    chart.update_xaxes(_cost_axis(figure, across), title=title)
    chart.update_yaxes(title=data.metric, range=list(up))
    chart.update_layout(showlegend=False)  # the page has one for all three
    return chart


def _cost_range(
    points: Sequence[Point], limits: tuple[float | None, float | None] = (None, None)
) -> tuple[float, float]:
    costs = [point.cost for point in points]
    return _axis_range([*costs, *_given(*limits)], _spread(costs))


def _spread(costs: Sequence[float]) -> bool:
    """Whether costs are so far apart that only a logarithmic axis shows them all."""
    return min(costs) > 0 and max(costs) / min(costs) > 8


def _cost_axis(figure: Cost, across: tuple[float, float]) -> dict[str, Any]:
    return {**_axis(across, _spread(across)), **_UNITS.get(figure, BYTES_AXIS)}


def cost_text(figure: Cost, value: float) -> str:
    """A cost in its unit; times are in relation to the baseline's."""
    if figure in ("latency", "p99"):
        return f"{ratio_text(value, 2)} ×"
    return f"{value:,.0f}" if figure == "npu_cycles" else bytes_text(value)


def _axis(ends: tuple[float, float], logarithmic: bool) -> dict[str, Any]:
    if not logarithmic:
        return {"type": "linear", "range": list(ends), "nticks": 6}
    low, high = (math.log10(end) for end in ends)
    # 1, 2 and 5 of each decade if there is room for them, else powers of ten.
    return {"type": "log", "range": [low, high], "dtick": "D2" if high - low < 1.5 else 1}


def measured_points(data: ReportData, figure: Cost) -> list[Point]:
    """The candidates that have both the metric and the cost."""
    return [
        Point(candidate.name, cost, accuracy)
        for candidate in data.candidates
        if (cost := _cost(candidate, figure)) is not None
        and (accuracy := candidate.figure("accuracy")) is not None
    ]


def _cost(candidate: Candidate, figure: Cost) -> float | None:
    return candidate.latency_ratio if figure == "latency" else candidate.figure(figure)


def _baseline_cost(data: ReportData, figure: Cost) -> float | None:
    return 1.0 if figure == "latency" else data.baseline(figure)


def _given(*values: float | None) -> list[float]:
    return [value for value in values if value is not None]


def _axis_range(values: Sequence[float], logarithmic: bool) -> tuple[float, float]:
    """An axis that holds all values, with a margin."""
    low, high = min(values), max(values)
    if logarithmic:
        margin = (high / low) ** 0.08
        return low / margin, high * margin
    margin = 0.09 * (high - low) or 0.05 * abs(high) or 0.5
    return low - margin if low - margin > 0 or low < 0 else low * 0.5, high + margin


def _add_region(
    chart: go.Figure,
    across: tuple[float, float],
    up: tuple[float, float],
    cost: tuple[float | None, float | None],
    quality: tuple[float | None, float | None],
) -> None:
    """Shades what the gate allows, with a dashed line at each limit."""
    sides = [
        end if limit is None else limit
        for limits, axis in ((cost, across), (quality, up))
        for limit, end in zip(limits, axis, strict=True)
    ]
    left, right, bottom, top = sides
    if left >= right or bottom >= top:
        return  # nothing meets these limits
    chart.add_trace(
        go.Scatter(
            x=[left, right, right, left, left],
            y=[bottom, bottom, top, top, bottom],
            fill="toself",
            mode="lines",
            line={"color": palette.PASSED, "width": 1, "dash": "dash"},
            fillcolor="rgba(42, 138, 92, 0.12)",
            name="gate allows",
            hoverinfo="skip",
        )
    )


def _add_front(
    chart: go.Figure,
    best: list[Point],
    across: tuple[float, float],
    up: tuple[float, float],
    ascending: bool,
) -> None:
    """Draws the front as stairs, because nothing was measured between two candidates."""
    if not best:
        return
    worst = up[0] if ascending else up[1]
    chart.add_trace(
        go.Scatter(
            x=[best[0].cost, *(p.cost for p in best), across[1]],
            y=[worst, *(p.quality for p in best), best[-1].quality],
            mode="lines",
            line={"shape": "hv", "color": palette.BASELINE, "width": 1.5},
            name="Pareto front",
            hoverinfo="skip",
        )
    )


_KINDS = {
    "selected": ("star", palette.PASSED, 15),
    "passed": ("circle", palette.PASSED, 9),
    "not passed": ("x-thin-open", palette.FAILED, 9),
    "baseline": ("diamond", palette.BASELINE, 10),
}


def _add_points(
    chart: go.Figure,
    data: ReportData,
    figure: Cost,
    points: list[Point],
    best: set[str],
    across: tuple[float, float],
    up: tuple[float, float],
) -> None:
    passed = {candidate.name: candidate.passed for candidate in data.candidates}
    times = {candidate.name: candidate.measured.latency for candidate in data.candidates}

    def kind(point: Point) -> str:
        if point.name == "baseline":
            return "baseline"
        if point.name == data.winner_name:
            return "selected"
        return "passed" if passed[point.name] else "not passed"

    order = {"selected": 0, "baseline": 1}
    ranked = sorted(points, key=lambda p: (order.get(kind(p), 2), p.name not in best, p.name))
    places = _places(ranked, across, up)
    for name, (symbol, color, size) in _KINDS.items():
        found = [p for p in points if kind(p) == name]
        if not found:
            continue
        interval = None
        if figure == "latency":
            measured = [times.get(p.name) for p in found]
            interval = {
                "type": "data",
                "symmetric": False,
                "array": [t.ratio_high - t.ratio if t else 0 for t in measured],
                "arrayminus": [t.ratio - t.ratio_low if t else 0 for t in measured],
                "thickness": 1,
                "width": 3,
            }
        chart.add_trace(
            go.Scatter(
                x=[p.cost for p in found],
                y=[p.quality for p in found],
                mode="markers+text",
                marker={
                    "symbol": symbol,
                    "color": color,
                    "size": size,
                    "line": {"width": 2.5 if symbol.endswith("open") else 0, "color": color},
                },
                text=[p.name if p.name in places else "" for p in found],
                textposition=[places.get(p.name, "middle right") for p in found],
                textfont={"size": 11},
                error_x=interval,
                name=name,
                hovertext=[_hover(p, figure) for p in found],
                hoverinfo="text",
                cliponaxis=False,
            )
        )


def _places(
    points: Sequence[Point], across: tuple[float, float], up: tuple[float, float]
) -> dict[str, str]:
    """The points with room for their names, and the side; names of the others show on hovering.

    Args:
        points: The first ones get room first.
        across: Ends of the axis of costs.
        up: Ends of the axis of the metric.
    """
    scale = math.log if _spread(across) else float
    left, right = (scale(end) for end in across)
    places: dict[str, str] = {}
    taken: list[tuple[float, float, float]] = []
    for point in points:
        x = (scale(point.cost) - left) / (right - left)
        y = (point.quality - up[0]) / (up[1] - up[0])
        width = _CHARACTER * (len(point.name) + 2)
        start, end = (x - width, x) if x > 0.5 else (x, x + width)
        if all(abs(y - other) > _LINE or end < low or high < start for low, high, other in taken):
            places[point.name] = "middle left" if x > 0.5 else "middle right"
            taken.append((start, end, y))
    return places


def _hover(point: Point, figure: Cost) -> str:
    cost = cost_text(figure, point.cost)
    return f"{point.name}<br>{accuracy_text(point.quality)}<br>{cost}"


def comparison(one: ReportData, other: ReportData, figure: Cost) -> go.Figure | None:
    """Two runs' candidates in one chart, with a dotted line between those of the same name.

    Args:
        one: The first run.
        other: The second one.
        figure: As in `tradeoff`.
    """
    sides = [measured_points(data, figure) for data in (one, other)]
    points = [*sides[0], *sides[1]]
    if not points:
        return None
    chart = plain(go.Figure(), height=_HEIGHT + 26)
    named = {p.name: p for p in sides[1]}
    chart.add_trace(
        go.Scatter(
            x=[v for p in sides[0] if p.name in named for v in (p.cost, named[p.name].cost, None)],
            y=[v for p in sides[0] if p.name in named for v in (p.quality, named[p.name].quality, None)],
            mode="lines",
            line={"color": palette.BASELINE, "width": 1, "dash": "dot"},
            hoverinfo="skip",
            showlegend=False,
        )
    )
    across = _cost_range(points)
    up = _axis_range([p.quality for p in points], False)
    places = _places(sides[1], across, up)
    for index, (title, found) in enumerate(zip(("first run", "second run"), sides, strict=True)):
        chart.add_trace(
            go.Scatter(
                x=[p.cost for p in found],
                y=[p.quality for p in found],
                mode="markers+text" if index else "markers",
                text=[p.name if p.name in places else "" for p in found],
                textposition=[places.get(p.name, "middle right") for p in found],
                textfont={"size": 11},
                name=title,
                marker={
                    "symbol": "circle" if index else "circle-open",
                    "size": 10,
                    "color": palette.CANDIDATES[index],
                    "line": {"width": 2, "color": palette.CANDIDATES[index]},
                },
                hovertext=[f"{title}<br>{_hover(p, figure)}" for p in found],
                hoverinfo="text",
                cliponaxis=False,
            )
        )
    chart.update_xaxes(_cost_axis(figure, across), title=AXES[figure])
    chart.update_yaxes(title=other.metric, range=list(up))
    return chart
