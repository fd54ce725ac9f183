"""The report's tables: the charts' numbers in text, and those that need no chart."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from components.anomaly_gate.finding import FINDINGS
from pipeline.lineage import facts as lineage_facts
from pipeline.report import charts
from pipeline.report.advice import number
from pipeline.report.data import Candidate, Curve, ReportData
from pipeline.report.numbers import accuracy_text, bytes_text, duration_text, ratio_text, time_text
from pipeline.report.pareto import front
from pipeline.run.verdict_table import verdict_table

# Wide enough that the terminal's table leaves nothing out.
_WIDE = 1000

MET, MISSED = "✓", "✗"

_SERVED = "served "


@dataclass(frozen=True)
class Cell:
    """A cell: its text, and where it says so, whether something is met and what it links to."""

    text: str
    met: bool | None = None
    link: str = ""


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        caption: What it holds.
        columns: Heads.
        rows: The first cell of each is its head.
        texts: Indices of columns that hold words; all others hold numbers and are right-aligned.
        marked: Index of the row that stands out; None where none does.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    texts: frozenset[int] = frozenset({0})
    marked: int | None = None


def _table(caption: str, columns: list[str], rows: list[list[Any]], **more: Any) -> Table:
    cells = tuple(tuple(c if isinstance(c, Cell) else Cell(str(c)) for c in row) for row in rows)
    return Table(caption, tuple(columns), cells, **more)


def verdicts(data: ReportData, links: bool = True) -> Table | None:
    """The terminal's table; its numbers are the terminal's.

    Args:
        data: Of the run.
        links: Whether names lead to each candidate's limits, which the page of one run has.
    """
    if not data.candidates:
        return None
    shown = verdict_table(data.selection, _WIDE)
    columns = [str(column.header) for column in shown.columns]
    last = len(columns) - 1
    rows = []
    for index, cells in enumerate(zip(*(column.cells for column in shown.columns), strict=True)):
        row: list[Any] = [_plain(cell) for cell in cells]
        if index:
            candidate = data.candidates[index - 1]
            row[0] = Cell(candidate.name, link=f"#limits-{index - 1}" if links else "")
            row[last] = Cell(row[last], met=candidate.passed)
        rows.append(row)
    names = [c.name for c in data.candidates]
    winner = data.selection["winner"]
    return _table(
        str(shown.title),
        columns,
        rows,
        texts=frozenset({0, last}),
        marked=names.index(winner) + 1 if winner in names else None,
    )


def _plain(cell: Any) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)


_KINDS = {"min": "≥ {}", "max": "≤ {}", "max_drop": "drop ≤ {}", "max_ratio": "≤ {} ×"}


def limits(data: ReportData) -> Table | None:
    """Every limit of the gate against every candidate; of slices and layers the one that is worst off."""
    heads: dict[tuple[str, str, float | None], str] = {}
    found: list[dict[tuple[str, str, float | None], list[dict[str, Any]]]] = []
    for candidate in data.candidates:
        grouped: dict[tuple[str, str, float | None], list[dict[str, Any]]] = {}
        for judgement in candidate.verdict["judgements"]:
            key, head = _group(judgement)
            heads.setdefault(key, head)
            grouped.setdefault(key, []).append(judgement)
        found.append(grouped)
    if not heads:
        return None
    keys = sorted(heads, key=lambda key: _place(key[0]))
    rows = [
        [Cell(candidate.name, link=f"#limits-{index}"), *(_limit_cell(grouped.get(key)) for key in keys)]
        for index, (candidate, grouped) in enumerate(zip(data.candidates, found, strict=True))
    ]
    return _table("Candidates against the limits", ["candidate", *(heads[key] for key in keys)], rows)


_ORDER = ("accuracy", "slices", "p50 latency", "p90 latency", "p99 latency", "size", "gzip size")


def _place(figure: str) -> int:
    """Where a figure's columns stand; each of several metrics stands where a single one does."""
    if figure.startswith("accuracy/"):
        return 0
    return _ORDER.index(figure) if figure in _ORDER else len(_ORDER)


def _group(judgement: dict[str, Any]) -> tuple[tuple[str, str, float | None], str]:
    figure, bound, limit = judgement["figure"], judgement["bound"], judgement["limit"]
    if bound == "type":
        return ("types", "", None), "types in the file"
    if figure.startswith(_SERVED):  # components.evaluator.served_skew; each candidate has limits of its own
        return (_SERVED, "", None), "the same when served"
    metric = figure.removeprefix("accuracy/")
    if metric != figure:
        title, bracket, _ = metric.partition("[")
        text = _KINDS[bound].format(number(limit))
        return (
            figure.partition("[")[0],
            f"{bracket}{bound}",
            limit,
        ), f"{title}{' by slice' if bracket else ''} {text}"
    name, bracket, _ = figure.partition("[")
    text = _KINDS[bound].format(
        bytes_text(limit) if "size" in name and bound != "max_ratio" else number(limit)
    )
    if not bracket:
        return (name, bound, limit), f"{name} {text}"
    if name == "accuracy":
        return ("slices", bound, limit), f"accuracy by slice {text}"
    return (name, "asked", None), f"{name} asked for"


def _limit_cell(judgements: list[dict[str, Any]] | None) -> Cell:
    if not judgements:
        return Cell("–")
    missed = [j for j in judgements if not j["met"]]
    mark = MISSED if missed else MET
    if judgements[0]["bound"] == "type" or judgements[0]["figure"].startswith(_SERVED):
        return Cell(f"{len(judgements) - len(missed)} of {len(judgements)} {mark}", met=not missed)
    worst = _worst(judgements)
    text = "not measured" if worst["value"] is None else _judged(worst)
    if len(judgements) > 1:
        text = f"worst {text}, {len(judgements) - len(missed)}/{len(judgements)}"
    return Cell(f"{text} {mark}", met=not missed)


def _worst(judgements: list[dict[str, Any]]) -> dict[str, Any]:
    def slack(judgement: dict[str, Any]) -> float:
        if judgement["value"] is None or judgement["limit"] is None:
            return -1e300
        sign = 1 if judgement["bound"] == "min" else -1
        return sign * (judgement["value"] - judgement["limit"])

    return min(judgements, key=lambda j: (j["met"], slack(j)))


def _judged(judgement: dict[str, Any]) -> str:
    value, figure = judgement["value"], judgement["figure"]
    if value is None:
        return "–"
    if judgement["bound"] == "max_ratio":
        return f"{value:.3f} ×"
    if "size" in figure:
        return bytes_text(value)
    if figure.endswith("latency"):
        return time_text(value)
    if figure.startswith("accuracy"):
        return accuracy_text(value, signed=judgement["bound"] == "max_drop")
    return number(value)


def judgements(candidate: Candidate) -> Table:
    """Every single limit of one candidate."""
    rows = [
        [
            j["figure"],
            "" if j["bound"] == "type" else _KINDS[j["bound"]].format(number(j["limit"])),
            _judged(j),
            Cell(f"{MET} met" if j["met"] else f"{MISSED} {j['reason'] or 'not met'}", met=j["met"]),
        ]
        for j in candidate.verdict["judgements"]
    ]
    columns = ["figure", "limit", "measured", "verdict"]
    return _table(f"Every limit of {candidate.name}", columns, rows, texts=frozenset({0, 3}))


def tradeoff(data: ReportData, figure: str) -> Table | None:
    """The numbers of `charts.tradeoff`."""
    points = charts.measured_points(data, figure)
    if not points:
        return None
    best = {p.name for p in front(points, data.ascending)}
    passed = {c.name: c.passed for c in data.candidates}
    cost = (lambda v: f"{ratio_text(v, 2)} ×") if figure == "latency" else bytes_text
    rows = [
        [
            p.name,
            accuracy_text(p.quality),
            cost(p.cost),
            "yes" if p.name in best else "no",
            Cell("passed" if passed[p.name] else "failed", met=passed[p.name]),
        ]
        for p in sorted(points, key=lambda p: (p.cost, p.name))
    ]
    title = charts.AXES[figure]
    columns = ["candidate", data.metric, title, "on the Pareto front", "gate"]
    return _table(f"{data.metric} against {title}", columns, rows, texts=frozenset({0, 3, 4}))


def latencies(data: ReportData) -> Table | None:
    """Percentiles of each candidate and of the baseline that was measured with it."""
    rows = []
    for candidate in data.candidates:
        measured = candidate.measured.get("latency")
        if not measured:
            continue
        times = [
            time_text(candidate.latency(side, p))
            for side in ("candidate", "baseline")
            for p in ("50", "90", "99")
        ]
        interval = f"{ratio_text(measured['ratio_low'])} to {ratio_text(measured['ratio_high'])}"
        rows.append([candidate.name, *times, ratio_text(measured["ratio"]), interval])
    if not rows:
        return None
    columns = ["candidate", "p50", "p90", "p99", *(f"baseline's {p}" for p in ("p50", "p90", "p99"))]
    return _table("Time of one inference", [*columns, "ratio", "95 % interval"], rows)


def latency_caption(data: ReportData) -> str:
    """How latency was measured."""
    for candidate in data.candidates:
        measured = candidate.measured.get("latency")
        if measured:
            return (
                f"{measured['repetitions']} inferences of each, candidate and baseline by turns in one process, "
                f"on {measured['threads']} thread{'s' if measured['threads'] > 1 else ''} of {measured['cpu']}"
            )
    return ""


def learning_curve(curve: Curve) -> Table:
    """Every epoch's figures."""
    names = [name for name in curve.epochs[0] if name != "epoch"] if curve.epochs else []
    rows = [
        [
            f"{epoch['epoch']}{' (kept)' if epoch['epoch'] == curve.kept_epoch else ''}",
            *(f"{epoch[name]:.4g}" if isinstance(epoch.get(name), int | float) else "–" for name in names),
        ]
        for epoch in curve.epochs
    ]
    return _table(f"Epochs of {curve.node}", ["epoch", *names], rows)


_LAYER_TEXTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "size": lambda layer: bytes_text(charts.layer_bytes(layer)),
    "sparsity": lambda layer: f"{layer['sparsity']:.1%}",
    "unique": lambda layer: f"{layer['unique']:,}",
}


def layers(data: ReportData, figure: str) -> Table | None:
    """A figure of each layer of each file."""
    files = charts.layer_files(data)
    names = charts.layer_names(files)
    if not names:
        return None
    text = _LAYER_TEXTS[figure]
    rows = [
        [layer, *(text(found[layer]) if layer in found else "–" for found in files.values())]
        for layer in names
    ]
    titles = {
        "size": "Bytes of weights",
        "sparsity": "Zeros among the weights",
        "unique": "Different values",
    }
    return _table(f"{titles[figure]}, by layer", ["layer", *files], rows)


def slices(data: ReportData) -> Table | None:
    """The metric in each slice."""
    names = charts.slice_names(data)
    if not names:
        return None
    baseline: dict[str, tuple[float | None, int]] = {}
    found: list[dict[str, dict[str, Any]]] = []
    for candidate in data.candidates:
        mine = {s["slice"]: s for s in candidate.measured.get("accuracy", {}).get("slices", [])}
        found.append(mine)
        for name, figures in mine.items():
            baseline.setdefault(name, (figures["baseline"], figures["examples"]))
    missed = [
        {j["figure"] for j in candidate.verdict["judgements"] if not j["met"]}
        for candidate in data.candidates
    ]
    rows = []
    for name in names:
        cells: list[Any] = [name, f"{baseline[name][1]:,}", accuracy_text(baseline[name][0])]
        for mine, failed in zip(found, missed, strict=True):
            bad = f"{data.figure}[{name}]" in failed
            text = accuracy_text(mine[name]["candidate"]) if name in mine else "–"
            cells.append(Cell(f"{text} {MISSED}", met=False) if bad else text)
        rows.append(cells)
    columns = ["slice", "examples", "baseline", *(c.name for c in data.candidates)]
    return _table(f"{data.metric} by slice; {MISSED} marks what a limit does not allow", columns, rows)


def steps(data: ReportData) -> Table:
    """Every node of the run."""
    rows = []
    for step in data.steps:
        # Data go to nearly every node.
        reads = dict.fromkeys(node for key, node in step.reads.items() if key not in ("examples", "schema"))
        rows.append(
            [
                Cell(step.node, link=f"#step-{step.execution}"),
                step.type,
                Cell(step.state, met=False if step.state == "failed" else None),
                duration_text(step.seconds) if step.state != "cached" else "",
                ", ".join(reads or dict.fromkeys(step.reads.values())) or "files",
            ]
        )
    columns = ["node", "component", "state", "took", "reads"]
    return _table("Nodes of the run", columns, rows, texts=frozenset({0, 1, 2, 4}))


def parameters(values: dict[str, Any]) -> list[tuple[str, str]]:
    """Parameters or facts of a step by name; what is JSON is laid out."""
    shown = []
    for name, value in sorted(values.items()):
        if name in ("is_external", "tfx_version") or value in ("", None):
            continue
        text = str(value)
        if isinstance(value, str) and value[:1] in "{[":
            try:
                text = json.dumps(json.loads(value), indent=1, ensure_ascii=False)
            except ValueError:
                text = value  # it only looks like it
        elif isinstance(value, float):
            text = f"{value:g}"
        shown.append((name, text))
    return shown


def findings(data: ReportData) -> Table | None:
    """What was found in the data and let pass; None where nothing was recorded of it."""
    schemas = [a for a in data.graph.artifacts.values() if FINDINGS in a.properties]
    if not schemas:
        return None
    newest = max(schemas, key=lambda artifact: artifact.id)
    rows = [
        [f.feature or "whole examples", f.split, f.kind, f.text, f.state]
        for f in lineage_facts.findings(newest)
    ]
    columns = ["feature", "split", "kind", "finding", "what became of it"]
    return _table("Found in the data", columns, rows, texts=frozenset(range(5)))


def data_files(data: ReportData) -> Table | None:
    """The files that the run read."""
    if not data.data:
        return None
    rows = [
        [split, found["file"], bytes_text(found["bytes"]), found["sha256"]]
        for split, files in data.data.items()
        for found in files
    ]
    return _table("Data files", ["split", "file", "size", "SHA-256"], rows, texts=frozenset({0, 1, 3}))


def environment(data: ReportData) -> Table | None:
    """What the run ran on."""
    if not data.environment:
        return None
    facts = {k: v for k, v in data.environment.items() if k != "packages"}
    rows = [[name, value] for name, value in {**facts, **data.environment.get("packages", {})}.items()]
    return _table("Environment", ["what", "version"], rows, texts=frozenset({0, 1}))
