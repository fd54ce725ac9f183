"""The candidates beside the baseline, as a table."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from pipeline.base.texts import bytes_text

# Narrower than this, only what decides is shown.
_WIDE = 100
_LEFT_OUT = ("size", "gzip", "latency", "sparsity", "clusters")
# Shown where a candidate was asked for them: of the layer that is worst off, in the file.
_INVARIANTS = {
    "sparsity": ("least_layer_sparsity", "least_m_by_n"),
    "clusters": ("most_layer_clusters",),
}


def verdict_table(report: dict[str, Any], width: int = _WIDE) -> Table:
    """The candidates with their figures beside the baseline's, and why each passed or did not.

    Args:
        report: As components.selector.executor.build_report makes it.
        width: Columns of the terminal; a narrow one gets ratios only.
    """
    candidates = report["candidates"]
    # Every evaluation measures the baseline again; one that failed early may lack it.
    first = max((verdict["measured"] for verdict in candidates.values()), key=_completeness)
    figures = accuracy_figures(first)
    title = "Candidates against the baseline" + _meanings(figures)
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("candidate", no_wrap=True)
    heads = [head for figure in figures for head in (_head(figure), _change(figure))]
    names = (*heads, "size", "ratio", "gzip", "latency", "ratio", "sparsity", "clusters")
    asked = set().union(*(verdict["measured"].get("invariants", {}) for verdict in candidates.values()))
    wanted = {name: bool(asked & set(figures)) for name, figures in _INVARIANTS.items()}
    shown = [
        True,
        *((width >= _WIDE or name not in _LEFT_OUT) and wanted.get(name, True) for name in names),
        True,
    ]
    for name, kept in zip(names, shown[1:], strict=False):
        if kept:
            table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", overflow="fold", min_width=12)
    rows: list[tuple[list[Any], str]] = [(_baseline_cells(first, figures), "dim")]
    rows += [
        (_cells(name, verdict, name == report["winner"], len(figures)), "")
        for name, verdict in candidates.items()
    ]
    for cells, style in rows:
        kept_cells = [cell for cell, kept in zip(cells, shown, strict=True) if kept]
        table.add_row(*kept_cells, style=style)
    return table


def accuracy_figures(measured: dict[str, Any]) -> list[dict[str, Any]]:
    """What was measured of each of the gate's metrics."""
    return measured.get("accuracies") or [measured.get("accuracy", {})]


def _head(figure: dict[str, Any]) -> str:
    """Head of a metric's column: short, as the title says what it stands for."""
    if "figure" in figure:
        return figure.get("output") or figure["figure"]
    return "accuracy" if figure.get("higher_is_better", True) else "error"


def _change(figure: dict[str, Any]) -> str:
    """Head of the column that says how much worse it is than the baseline's."""
    return "drop" if figure.get("higher_is_better", True) else "rise"


def _meanings(figures: list[dict[str, Any]]) -> str:
    """What the heads stand for, as the end of a title."""
    known = [figure for figure in figures if figure.get("examples")]
    if not known:
        return ""
    told = (f"{_head(figure)} is {figure['metric']}" for figure in known)
    return f"; {', '.join(told)} on {known[0]['examples']:,} examples"


def _completeness(measured: dict[str, Any]) -> int:
    figures = (measured.get(name, {}) for name in ("size", "latency", "accuracy"))
    return sum(figure.get("baseline") is not None for figure in figures)


def _baseline_cells(measured: dict[str, Any], figures: list[dict[str, Any]]) -> list[str]:
    size = measured.get("size", {}).get("baseline", {})
    latency = _latency(measured, "baseline")
    return [
        "baseline (float32)",
        *(cell for figure in figures for cell in (_number(figure.get("baseline"), ".4f"), "")),
        bytes_text(size.get("file")),
        "",
        bytes_text(size.get("gzip")),
        latency,
        "",
        "",
        "",
        "",
    ]


def _cells(name: str, verdict: dict[str, Any], winner: bool, metrics: int) -> list[Text | str]:
    measured = verdict["measured"]
    figures = accuracy_figures(measured)
    figures += [{}] * (metrics - len(figures))
    size = measured.get("size", {})
    candidate, baseline = size.get("candidate", {}), size.get("baseline", {})
    ratio = candidate["file"] / baseline["file"] if candidate.get("file") and baseline.get("file") else None
    if winner:
        state = Text("passed, selected", style="bold green")
    elif verdict["blessed"]:
        state = Text("passed", style="green")
    else:
        more = len(verdict["reasons"]) - 1
        state = Text("failed: " + verdict["reasons"][0], style="red")
        if more:
            state.append(f" (and {more} more)")
    return [
        Text(name, style="bold" if winner else ""),
        *(
            cell
            for figure in figures
            for cell in (_number(figure.get("candidate"), ".4f"), _number(_drop(figure), "+.4f"))
        ),
        bytes_text(candidate.get("file")),
        _number(ratio, ".3f"),
        bytes_text(candidate.get("gzip")),
        _latency(measured, "candidate"),
        _number(measured.get("latency", {}).get("ratio"), ".2f"),
        _sparsity(measured.get("invariants", {})),
        str(measured.get("invariants", {}).get("most_layer_clusters", "")),
        state,
    ]


def _drop(figure: dict[str, Any]) -> float | None:
    """How much worse than the baseline a candidate is by a metric."""
    if figure.get("candidate") is None or figure.get("baseline") is None:
        return None
    drop = figure["baseline"] - figure["candidate"]
    return drop if figure["higher_is_better"] else -drop


def _sparsity(invariants: dict[str, Any]) -> str:
    """The least share of zeros in a layer; where there is a pattern instead, its share of blocks."""
    if "least_layer_sparsity" in invariants:
        return f"{invariants['least_layer_sparsity']:.1%}"
    if "least_m_by_n" in invariants:
        return f"m:n {invariants['least_m_by_n']:.0%}"
    return ""


def _latency(measured: dict[str, Any], side: str) -> str:
    times = measured.get("latency", {}).get(side, {})
    milliseconds = times.get("50")
    if milliseconds is None:
        return "–"
    return f"{milliseconds * 1000:.0f} µs" if milliseconds < 1 else f"{milliseconds:.2f} ms"


def _number(value: float | None, layout: str) -> str:
    return "–" if value is None else format(value, layout)
