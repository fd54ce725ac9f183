"""The report's charts, one function each. Colours of text and lines follow the page's theme."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from components.evaluator.measured import PERCENTILES, Layer, Side
from pipeline.report import palette
from pipeline.report.advice import gate_range
from pipeline.report.data import Candidate, Cost, Curve, ReportData
from pipeline.report.layer_figures import BYTES_AXIS, LayerFigure
from pipeline.report.numbers import accuracy_text, bytes_text, ratio_text
from pipeline.report.pareto import Point, front

_MARGIN = {"l": 64, "r": 16, "t": 12, "b": 52}
_TRADEOFF_HEIGHT = 334
_MOST_LAYERS, _MOST_SLICES = 40, 40
# Of the plot area, the width of a character and the height of a line in a small chart.
_CHARACTER, _LINE = 0.024, 0.07

AXES: dict[Cost, str] = {
    "file": "file size",
    "gzip": "gzip-compressed size",
    "latency": "latency, × the baseline's",
}
# SI prefixes, as in "20 kB" and "300 µs".
_SECONDS = {"tickformat": "~s", "ticksuffix": "s"}
_TIMES = {"tickformat": "~g", "ticksuffix": " ×"}


def tradeoff(data: ReportData, figure: Cost) -> go.Figure | None:
    """The gate's metric against a cost, with the Pareto front and the region that the gate allows.

    Args:
        data: Of the run.
        figure: `file` or `gzip`, in bytes; `latency`, in relation to the baseline's.

    Returns:
        None if no candidate has both figures.
    """
    points = measured_points(data, figure)
    accuracy, cost = data.baseline("accuracy"), _baseline_cost(data, figure)
    if not points:
        return None
    shown = [*points, *([Point("baseline", cost, accuracy)] if accuracy is not None and cost else [])]
    chart = _plain(go.Figure(), height=_TRADEOFF_HEIGHT)
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
    units = _TIMES if figure == "latency" else BYTES_AXIS
    return {**_axis(across, _spread(across)), **units}


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
    """An axis that holds all values with air around them."""
    low, high = min(values), max(values)
    if logarithmic:
        air = (high / low) ** 0.08
        return low / air, high * air
    air = 0.09 * (high - low) or 0.05 * abs(high) or 0.5
    return low - air if low - air > 0 or low < 0 else low * 0.5, high + air


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
    # On top of nothing, and traced so that hovering and the legend know it.
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
    """The border of what the candidates reach: stairs, as between two of them there is nothing."""
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
    """Which points have room for their names, and on which side; the others have theirs when hovered.

    Args:
        points: The first ones are named first.
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
    cost = f"{ratio_text(point.cost, 2)} ×" if figure == "latency" else bytes_text(point.cost)
    return f"{point.name}<br>{accuracy_text(point.quality)}<br>{cost}"


def latencies(data: ReportData) -> go.Figure | None:
    """Times of single inferences, candidate beside baseline, which were measured by turns.

    Boxes are the middle half, whiskers reach from the 5th to the 95th percentile. If single times were not kept,
    percentiles 50, 90 and 99 are drawn.
    """
    measured = [c for c in data.candidates if c.measured.latency]
    if not measured:
        return None
    measured = measured[::-1]  # plotly draws the first one at the bottom
    chart = _plain(go.Figure(), height=110 + 44 * len(measured))
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


def learning_curve(curve: Curve) -> go.Figure | None:
    """Loss and metrics of a training step after each epoch; None if there is only one."""
    if len(curve.epochs) < 2:
        return None
    named = [n for n in curve.epochs[0] if n not in ("epoch", "learning_rate") and not n.startswith("val_")]
    # Loss first; of several metrics each has a row.
    rows = sorted(named, key=lambda name: (name != "loss", "loss" in name, name))[:3]
    chart = _plain(
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


def layers(data: ReportData, figure: LayerFigure, shown: Iterable[str]) -> go.Figure | None:
    """Bars for each layer of each candidate's file, the baseline's with them.

    Args:
        data: Of the run.
        figure: What to draw.
        shown: Names of what is drawn at first; the page has a box to tick for each of the others.
    """
    files = layer_files(data)
    names = layer_names(files, figure)[:_MOST_LAYERS]
    if not names:
        return None
    shown = set(shown)
    chart = _plain(go.Figure(), height=72 + len(names) * (14 + 13 * len(shown)))
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


def slices(data: ReportData, shown: Iterable[str]) -> go.Figure | None:
    """How much each slice's metric differs from the baseline's, with the limits that hold for it."""
    names = slice_names(data)[:_MOST_SLICES]
    if not names:
        return None
    shown = set(shown)
    chart = _plain(go.Figure(), height=110 + 30 * len(names))
    colors = palette.color_of(c.name for c in data.candidates)
    for index, candidate in enumerate(data.candidates):
        found = candidate.slices
        changes = [found[name].change if name in found else None for name in names]
        if not _given(*changes):
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


def comparison(one: ReportData, other: ReportData, figure: Cost) -> go.Figure | None:
    """Two runs' candidates in one chart, a dotted line between those of one name.

    Args:
        one: The first run.
        other: The second one.
        figure: As in `tradeoff`.
    """
    sides = [measured_points(data, figure) for data in (one, other)]
    points = [*sides[0], *sides[1]]
    if not points:
        return None
    chart = _plain(go.Figure(), height=_TRADEOFF_HEIGHT + 26)
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


def _plain(chart: go.Figure, height: int) -> go.Figure:
    """What all charts have in common; the page's script adds the theme's colours."""
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
