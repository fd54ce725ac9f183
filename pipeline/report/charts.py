"""The report's charts, one function each. Colours of text and lines follow the page's theme."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pipeline.report import labels, palette
from pipeline.report.advice import gate_range
from pipeline.report.data import Candidate, Curve, ReportData
from pipeline.report.numbers import accuracy_text, bytes_text, ratio_text, ticks, time_text
from pipeline.report.pareto import Point, front

# Pixels of the plot area for which names are placed beside points.
_WIDTH, _HEIGHT = 285, 270
_MARGIN = {"l": 64, "r": 16, "t": 12, "b": 52}
_MOST_LAYERS, _MOST_SLICES = 40, 40

AXES = {"file": "file size", "gzip": "gzip-compressed size", "latency": "latency, × the baseline's"}


def tradeoff(data: ReportData, figure: str) -> go.Figure | None:
    """The gate's metric against a cost, with the Pareto front and the region that the gate allows.

    Args:
        data: Of the run.
        figure: `file` or `gzip`, in bytes; `latency`, in relation to the baseline's.

    Returns:
        None where no candidate has both figures.
    """
    points = measured_points(data, figure)
    accuracy, cost = data.baseline("accuracy"), _baseline_cost(data, figure)
    if not points:
        return None
    shown = [*points, *([Point("baseline", cost, accuracy)] if accuracy is not None and cost else [])]
    chart = _plain(go.Figure(), height=_HEIGHT + _MARGIN["t"] + _MARGIN["b"])
    costs = [point.cost for point in shown]
    low, high = gate_range(data, figure)
    logarithmic = min(costs) > 0 and max(costs) / min(costs) > 8
    across = _axis_range([*costs, *_given(low, high)], logarithmic)
    bottom, top = gate_range(data, "accuracy")
    up = _axis_range([*(p.quality for p in shown), *_given(bottom, top)], False)
    _add_region(chart, across, up, (low, high), (bottom, top))
    best = front(points, data.ascending)
    _add_front(chart, best, across, up, data.ascending)
    _add_points(chart, data, figure, shown, {p.name for p in best}, across, up, logarithmic)
    text = bytes_text if figure != "latency" else (lambda value: f"{value:.3g} ×")
    values, names = ticks(*across, logarithmic, text)
    limits = [math.log10(v) for v in across] if logarithmic else list(across)
    title = AXES[figure] if figure != "latency" else f"p{_percentile(data)} {AXES[figure]}"
    chart.update_xaxes(
        title=title, type="log" if logarithmic else "linear", range=limits, tickvals=values, ticktext=names
    )
    chart.update_yaxes(title=data.metric, range=list(up))
    chart.update_layout(showlegend=False)  # the page has one for all three
    return chart


def measured_points(data: ReportData, figure: str) -> list[Point]:
    """The candidates that have both the metric and the cost."""
    points = []
    for candidate in data.candidates:
        cost = _cost(candidate, figure)
        accuracy = candidate.accuracy()
        if cost is not None and accuracy is not None:
            points.append(Point(candidate.name, cost, accuracy))
    return points


def _cost(candidate: Candidate, figure: str) -> float | None:
    if figure == "latency":
        return candidate.measured.get("latency", {}).get("ratio")
    return candidate.size(figure)


def _baseline_cost(data: ReportData, figure: str) -> float | None:
    return 1.0 if figure == "latency" else data.baseline(figure)


def _percentile(data: ReportData) -> int:
    return data.gate.get("latency", {}).get("percentile", 50)


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
    figure: str,
    points: list[Point],
    best: set[str],
    across: tuple[float, float],
    up: tuple[float, float],
    logarithmic: bool,
) -> None:
    passed = {candidate.name: candidate.passed for candidate in data.candidates}
    winner = data.selection["winner"]

    def kind(point: Point) -> str:
        if point.name == "baseline":
            return "baseline"
        if point.name == winner:
            return "selected"
        return "passed" if passed[point.name] else "not passed"

    order = {"selected": 0, "baseline": 1}
    few = len(points) <= 8
    ranked = sorted(points, key=lambda p: (order.get(kind(p), 2), p.name not in best, p.name))
    named = [p for p in ranked if few or p.name in best or kind(p) in order]
    pixels = [_pixels(p, across, up, logarithmic) for p in [*named, *(p for p in ranked if p not in named)]]
    lines = _front_lines([p for p in points if p.name in best], across, up, logarithmic)
    needed = sum(kind(p) in order for p in named)
    places = labels.place(pixels, [p.name for p in named], _WIDTH, _HEIGHT, lines, needed)
    text = {p.name: place for p, place in zip(named, places, strict=True)}
    ratios = {c.name: c.measured.get("latency", {}) for c in data.candidates}
    for name, (symbol, color, size) in _KINDS.items():
        found = [p for p in points if kind(p) == name]
        if not found:
            continue
        interval = None
        if figure == "latency":
            interval = {
                "type": "data",
                "symmetric": False,
                "array": [ratios.get(p.name, {}).get("ratio_high", p.cost) - p.cost for p in found],
                "arrayminus": [p.cost - ratios.get(p.name, {}).get("ratio_low", p.cost) for p in found],
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
                text=[p.name if text.get(p.name) else "" for p in found],
                textposition=[text.get(p.name) or "top center" for p in found],
                textfont={"size": 11},
                error_x=interval,
                name=name,
                hovertext=[_hover(p, figure) for p in found],
                hoverinfo="text",
                cliponaxis=False,
            )
        )


def _front_lines(
    best: list[Point], across: tuple[float, float], up: tuple[float, float], logarithmic: bool
) -> list[tuple[float, float, float, float]]:
    """The stairs of the Pareto front in pixels."""
    corners = [_pixels(p, across, up, logarithmic) for p in sorted(best, key=lambda p: (p.cost, p.quality))]
    corners.append((_WIDTH, corners[-1][1] if corners else 0))
    lines = []
    for (x, y), (x2, y2) in itertools.pairwise(corners):
        lines += [(x, y, x2, y), (x2, min(y, y2), x2, max(y, y2))]
    return lines


def _hover(point: Point, figure: str) -> str:
    cost = f"{ratio_text(point.cost, 2)} ×" if figure == "latency" else bytes_text(point.cost)
    return f"{point.name}<br>{accuracy_text(point.quality)}<br>{cost}"


def _pixels(
    point: Point, across: tuple[float, float], up: tuple[float, float], logarithmic: bool
) -> tuple[float, float]:
    x, left, right = point.cost, *across
    if logarithmic:
        x, left, right = math.log(x), math.log(left), math.log(right)
    return (x - left) / (right - left) * _WIDTH, (point.quality - up[0]) / (up[1] - up[0]) * _HEIGHT


def latencies(data: ReportData) -> go.Figure | None:
    """Times of single inferences, candidate beside baseline, which were measured by turns.

    Boxes are the middle half, whiskers reach from the 5th to the 95th percentile. Where single times were
    not kept, percentiles 50, 90 and 99 are drawn.
    """
    measured = [c for c in data.candidates if c.latency(percentile="50") is not None]
    if not measured:
        return None
    measured = measured[::-1]  # plotly draws the first one at the bottom
    chart = _plain(go.Figure(), height=110 + 44 * len(measured))
    every: list[float] = []
    for side, color, pattern in (
        ("baseline", palette.BASELINE, 0),
        ("candidate", palette.CANDIDATES[0], 1),
    ):
        whole = [c for c in measured if c.latencies is not None]
        if whole:
            found = [np.asarray(getattr(c.latencies, side)) for c in whole]
            quantiles = np.array([np.percentile(times, (5, 25, 50, 75, 95)) for times in found])
            chart.add_trace(
                go.Box(
                    y=[c.name for c in whole],
                    **dict(
                        zip(
                            ("lowerfence", "q1", "median", "q3", "upperfence"),
                            quantiles.T.tolist(),
                            strict=True,
                        )
                    ),
                    orientation="h",
                    name=side,
                    marker={"color": color},
                    line={"color": color, "width": 1.5 + pattern},
                    hoverinfo="x+name",
                )
            )
            every += quantiles.ravel().tolist()
        rest = [c for c in measured if c.latencies is None]
        if rest:
            every += _add_percentiles(chart, rest, side, color)
    logarithmic = min(every) > 0
    across = _axis_range(every, logarithmic)
    values, names = ticks(*across, logarithmic, time_text)
    chart.update_xaxes(
        title="time of one inference",
        type="log",
        range=[math.log10(v) for v in across],
        tickvals=values,
        ticktext=names,
    )
    chart.update_yaxes(automargin=True, categoryorder="array", categoryarray=[c.name for c in measured])
    chart.update_layout(boxmode="group", boxgap=0.35, boxgroupgap=0.15)
    return chart


def _add_percentiles(chart: go.Figure, candidates: list[Candidate], side: str, color: str) -> list[float]:
    """Percentiles 50, 90 and 99 as points on a line; returns the values."""
    values: list[float] = []
    x: list[float | None] = []
    y: list[str] = []
    for candidate in candidates:
        times = [candidate.latency(side, p) for p in ("50", "90", "99")]
        x += [*times, None]
        y += [candidate.name] * 4
        values += _given(*times)
    chart.add_trace(
        go.Scatter(
            x=x,
            y=y,
            mode="lines+markers",
            marker={
                "color": color,
                "size": 10,
                "symbol": (
                    ["circle", "line-ns-open", "triangle-left", "circle"]
                    if side == "candidate"
                    else ["circle-open", "line-ns-open", "triangle-left-open", "circle-open"]
                )
                * len(candidates),
            },
            line={"color": color, "width": 1.5},
            name=f"{side}: p50, p90, p99",
            hoverinfo="x+name",
        )
    )
    return values


def learning_curve(curve: Curve) -> go.Figure | None:
    """Loss and metrics of a training step after each epoch; None where there is only one."""
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


def layer_bytes(layer: dict[str, Any]) -> float:
    """Bytes of a layer's weights as they are stored, without scales and packing."""
    bits = "".join(character for character in layer["dtype"] if character.isdigit())
    return layer["weights"] * int(bits or 8) / 8


_LAYER_FIGURES = {
    "size": ("weights, logarithmic", layer_bytes, bytes_text),
    "sparsity": ("zeros among the weights", lambda layer: layer["sparsity"], lambda value: f"{value:.0%}"),
    "unique": (
        "different values, logarithmic",
        lambda layer: layer["unique"],
        lambda value: f"{value:,.0f}",
    ),
}


def layers(data: ReportData, figure: str, shown: Iterable[str]) -> go.Figure | None:
    """Bars for each layer of each candidate's file, the baseline's with them.

    Args:
        data: Of the run.
        figure: `size`, `sparsity` or `unique`.
        shown: Names of what is drawn at first; the page has a box to tick for each of the others.
    """
    files = layer_files(data)
    names = layer_names(files)[:_MOST_LAYERS]
    if not names:
        return None
    title, value, text = _LAYER_FIGURES[figure]
    shown = set(shown)
    chart = _plain(go.Figure(), height=72 + len(names) * (14 + 13 * len(shown)))
    colors = palette.color_of(name for name in files if name != "baseline")
    every = []
    for name, found in files.items():
        color, cycle = colors.get(name, (palette.BASELINE, 0))
        values = [value(found[layer]) if layer in found else None for layer in names]
        every += _given(*values)
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
                    f"{name}<br>{layer}: {'–' if v is None else text(v)}"
                    for layer, v in zip(names, values, strict=True)
                ],
                hoverinfo="text",
            )
        )
    positive = [v for v in every if v > 0]
    logarithmic = figure != "sparsity" and bool(positive)
    if figure == "sparsity":
        chart.update_xaxes(range=[0, 1], tickformat=".0%", title=title)
    elif logarithmic:
        low, high = 10 ** math.floor(math.log10(min(positive))), max(positive) * 1.3
        values, tick_names = ticks(low, high, True, text)
        chart.update_xaxes(
            type="log",
            range=[math.log10(low), math.log10(high)],
            tickvals=values,
            ticktext=tick_names,
            title=title,
        )
    chart.update_yaxes(autorange="reversed", automargin=True)
    chart.update_layout(barmode="group", bargap=0.25, bargroupgap=0.1, showlegend=False)
    return chart


def layer_files(data: ReportData) -> dict[str, dict[str, dict[str, Any]]]:
    """The baseline's layers and each candidate's, where they are known."""
    files = {"baseline": data.baseline_layers, **{c.name: c.layers for c in data.candidates}}
    return {name: found for name, found in files.items() if found}


def layer_names(files: dict[str, dict[str, dict[str, Any]]]) -> list[str]:
    """Every layer, the baseline's in its order first."""
    return list(dict.fromkeys(layer for found in files.values() for layer in found))


def slices(data: ReportData, shown: Iterable[str]) -> go.Figure | None:
    """How much each slice's metric differs from the baseline's, with the limits that hold for it."""
    names = slice_names(data)[:_MOST_SLICES]
    if not names:
        return None
    shown = set(shown)
    chart = _plain(go.Figure(), height=110 + 30 * len(names))
    colors = palette.color_of(c.name for c in data.candidates)
    for index, candidate in enumerate(data.candidates):
        found = {s["slice"]: s for s in candidate.measured.get("accuracy", {}).get("slices", [])}
        changes = [slice_change(found[name]) if name in found else None for name in names]
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
    return list(
        dict.fromkeys(
            s["slice"] for c in data.candidates for s in c.measured.get("accuracy", {}).get("slices", [])
        )
    )


def slice_change(found: dict[str, Any]) -> float | None:
    """A slice's metric without the baseline's."""
    if found["candidate"] is None or found["baseline"] is None:
        return None
    return found["candidate"] - found["baseline"]


def _add_slice_limits(chart: go.Figure, data: ReportData, names: list[str]) -> None:
    """A mark at the largest drop that each slice may have."""
    sign = -1 if data.ascending else 1
    limits: dict[str, float] = {}
    for candidate in data.candidates:
        for judgement in candidate.verdict["judgements"]:
            figure = judgement["figure"]
            if figure.startswith(f"{data.figure}[") and judgement["bound"] == "max_drop":
                limits[figure.removeprefix(f"{data.figure}[").removesuffix("]")] = judgement["limit"]
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


def comparison(one: ReportData, other: ReportData, figure: str) -> go.Figure | None:
    """Two runs' candidates in one chart, an arrow between those of one name.

    Args:
        one: The first run.
        other: The second one.
        figure: As in `tradeoff`.
    """
    sides = [measured_points(data, figure) for data in (one, other)]
    points = [*sides[0], *sides[1]]
    if not points:
        return None
    chart = _plain(go.Figure(), height=_HEIGHT + 90)
    costs = [p.cost for p in points]
    logarithmic = min(costs) > 0 and max(costs) / min(costs) > 8
    across = _axis_range(costs, logarithmic)
    up = _axis_range([p.quality for p in points], False)
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
    pixels = [_pixels(p, across, up, logarithmic) for p in [*sides[1], *sides[0]]]
    places = labels.place(pixels, [p.name for p in sides[1]], _WIDTH, _HEIGHT)
    for index, (title, found) in enumerate(zip(("first run", "second run"), sides, strict=True)):
        written = [place and p.name for p, place in zip(found, places, strict=True)] if index else []
        chart.add_trace(
            go.Scatter(
                x=[p.cost for p in found],
                y=[p.quality for p in found],
                mode="markers+text",
                text=[name or "" for name in written],
                textposition=[place or "top center" for place in places] if index else "top center",
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
    text = bytes_text if figure != "latency" else (lambda value: f"{value:.3g} ×")
    values, names = ticks(*across, logarithmic, text)
    chart.update_xaxes(
        title=AXES[figure],
        type="log" if logarithmic else "linear",
        range=[math.log10(v) for v in across] if logarithmic else list(across),
        tickvals=values,
        ticktext=names,
    )
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
