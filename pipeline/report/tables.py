"""The report's tables: the charts' numbers in text, and those that need no chart."""

from __future__ import annotations

import json
import math
from typing import Any

from components.anomaly_gate.finding import FINDINGS
from components.common.base import activation_ranges
from components.common.base.limit_bounds import LOWER_BOUNDS
from components.common.base.metric_facts import AGREEMENT, METRICS
from components.common.base.quantities import number_text
from components.evaluator.judgement import IN_BYTES, RATIOS, Judgement, Kind, amounts
from components.measurer.file_facts import Layer
from components.measurer.measured import PERCENTILES, SIDES
from pipeline.lineage import facts as lineage_facts
from pipeline.report import charts
from pipeline.report.data import Candidate, Cost, Curve, ReportData
from pipeline.report.layer_figures import LayerFigure
from pipeline.report.numbers import accuracy_text, bytes_text, duration_text, ratio_text, time_text
from pipeline.report.pareto import front
from pipeline.report.table import Cell, Table, table_of
from pipeline.run import verdict_table
from pipeline.store.state import State

MET, MISSED = "✓", "✗"


def verdicts(data: ReportData, links: bool = True) -> Table | None:
    """The terminal's table.

    Args:
        data: Data of the run.
        links: Whether names lead to each candidate's limits, which the page of one run has.
    """
    if not data.candidates:
        return None
    verdicts = [c.verdict for c in data.candidates]
    columns = verdict_table.columns(verdicts)
    names = [c.name for c in data.candidates]
    rows: list[list[Any]] = [["baseline (float32)", *(column.baseline for column in columns), ""]]
    for index, candidate in enumerate(data.candidates):
        outcome = verdict_table.outcome(candidate.verdict, candidate.name == data.winner_name)
        rows.append(
            [
                Cell(candidate.name, link=f"#limits-{index}" if links else ""),
                *(column.cells[index] for column in columns),
                Cell(outcome, met=candidate.passed),
            ]
        )
    return table_of(
        verdict_table.title(verdicts, data.select),
        ["candidate", *(column.head for column in columns), "verdict"],
        rows,
        texts=frozenset({0, len(columns) + 1}),
        marked=names.index(data.winner_name) + 1 if data.winner_name in names else None,
    )


_BOUNDS = {"min": "≥ {}", "max": "≤ {}", "max_drop": "drop ≤ {}", "type": ""}
_BOUNDS |= {"max_ratio": "≤ {} ×", "min_ratio": "≥ {} ×"}
_ORDER = tuple(Kind)  # of the columns of limits

# Judgements that share a column.
Group = tuple[Any, ...]


def limits(data: ReportData) -> Table | None:
    """Every limit of the gate against every candidate; of slices and layers the worst one."""
    judged = [j for candidate in data.candidates for j in candidate.verdict.judgements]
    several = len({j.title for j in judged if j.kind is Kind.ACCURACY}) > 1
    heads: dict[Group, str] = {}
    found: list[dict[Group, list[Judgement]]] = []
    for candidate in data.candidates:
        grouped: dict[Group, list[Judgement]] = {}
        for judgement in candidate.verdict.judgements:
            group, head = _group(judgement, several)
            heads.setdefault(group, head)
            grouped.setdefault(group, []).append(judgement)
        found.append(grouped)
    if not heads:
        return None
    # Limits on all examples come before those on slices.
    groups = sorted(heads, key=lambda group: (_ORDER.index(group[0]), group[2:3]))
    rows = [
        [Cell(candidate.name, link=f"#limits-{index}"), *(_limit_cell(grouped.get(g)) for g in groups)]
        for index, (candidate, grouped) in enumerate(zip(data.candidates, found, strict=True))
    ]
    return table_of(
        "Candidates against the limits", ["candidate", *(heads[group] for group in groups)], rows
    )


def _group(judgement: Judgement, several: bool) -> tuple[Group, str]:
    """The column of a judgement: what it shares with others, and the head.

    Args:
        judgement: The judgement.
        several: Whether there are several metrics, so that a head needs their titles.
    """
    kind, bound, limit = judgement.kind, judgement.bound, judgement.limit
    if kind is Kind.TYPE:
        return (kind,), "types in the file"
    if kind is Kind.SERVED:  # each candidate has its own limits
        return (kind,), "the same when served"
    if kind is Kind.INVARIANT:  # and so has each layer
        return (kind, judgement.aspect), f"requested {judgement.aspect}"
    # Each mode of a model server has the same limits.
    name = kind.value if kind in (Kind.THROUGHPUT, Kind.P99) else judgement.figure
    if kind is Kind.ACCURACY:
        # Agreement with the baseline is not an accuracy.
        named = several or judgement.metric == AGREEMENT or judgement.metric not in (None, *METRICS)
        name = f"{judgement.title if named else 'accuracy'}{' by slice' if judgement.slice else ''}"
    interval = judgement.confidence
    group = (kind, judgement.title, bool(judgement.slice), judgement.percentile, bound, limit, interval)
    return group, f"{name} {_limit_text(judgement)}"


def _limit_text(judgement: Judgement) -> str:
    limit = judgement.limit
    text = "–" if limit is None else amounts(judgement.kind, judgement.bound, limit, limit)[0]
    interval = "" if judgement.confidence is None else f" with {judgement.confidence:.0%} confidence"
    return _BOUNDS[judgement.bound].format(text) + interval


def _limit_cell(judgements: list[Judgement] | None) -> Cell:
    if not judgements:
        return Cell("–")
    met = sum(j.met for j in judgements)
    every = met == len(judgements)
    mark = MET if every else MISSED
    if judgements[0].kind in (Kind.TYPE, Kind.SERVED):
        return Cell(f"{met} of {len(judgements)} {mark}", met=every)
    worst = min(judgements, key=_slack)
    text = "not measured" if worst.value is None else _value_text(worst)
    if len(judgements) > 1:
        text = f"worst {text}, {met}/{len(judgements)}"
    return Cell(f"{text} {mark}", met=every)


def _slack(judgement: Judgement) -> tuple[bool, float]:
    """Distance of a value on the right side of its limit; missed limits come first."""
    if judgement.value is None or judgement.limit is None:
        return judgement.met, -math.inf
    sign = 1 if judgement.bound in LOWER_BOUNDS else -1
    return judgement.met, sign * (judgement.value - judgement.limit)


def _value_text(judgement: Judgement) -> str:
    value = judgement.value
    if value is None:
        return "–"
    if judgement.bound in RATIOS:
        return f"{value:.3f} ×"
    if judgement.kind in IN_BYTES:
        return bytes_text(value)
    if judgement.kind in (Kind.LATENCY, Kind.P99):
        return time_text(value)
    if judgement.kind is Kind.ACCURACY:
        return accuracy_text(value, signed=judgement.bound == "max_drop")
    return number_text(value)


def judgements(candidate: Candidate) -> Table:
    """Every single limit of one candidate."""
    rows = [
        [
            j.figure,
            _limit_text(j) + j.tolerance_text,
            _value_text(j),
            Cell(f"{MET} met" if j.met else f"{MISSED} {j.reason or 'not met'}", met=j.met),
        ]
        for j in candidate.verdict.judgements
    ]
    columns = ["figure", "limit", "measured", "verdict"]
    return table_of(f"Every limit of {candidate.name}", columns, rows, texts=frozenset({0, 3}))


def tradeoff(data: ReportData, figure: Cost) -> Table | None:
    """The numbers of `charts.tradeoff`."""
    points = charts.measured_points(data, figure)
    if not points:
        return None
    best = {p.name for p in front(points, data.ascending)}
    passed = {c.name: c.passed for c in data.candidates}
    rows = [
        [
            p.name,
            accuracy_text(p.quality),
            charts.cost_text(figure, p.cost),
            "yes" if p.name in best else "no",
            Cell("passed" if passed[p.name] else "failed", met=passed[p.name]),
        ]
        for p in sorted(points, key=lambda p: (p.cost, p.name))
    ]
    title = charts.AXES[figure]
    columns = ["candidate", data.metric, title, "on the Pareto front", "gate"]
    return table_of(f"{data.metric} against {title}", columns, rows, texts=frozenset({0, 3, 4}))


def latencies(data: ReportData) -> Table | None:
    """Percentiles of each candidate and of the baseline that was measured with it."""
    rows = [
        [
            candidate.name,
            *(time_text(times.at(side, p)) for side in SIDES for p in PERCENTILES),
            ratio_text(times.ratio),
            f"{ratio_text(times.ratio_low)} to {ratio_text(times.ratio_high)}",
        ]
        for candidate in data.candidates
        if (times := candidate.measured.latency)
    ]
    if not rows:
        return None
    heads = [f"{prefix}p{p}" for prefix in ("", "baseline's ") for p in PERCENTILES]
    return table_of("Time of one inference", ["candidate", *heads, "ratio", "95 % interval"], rows)


def latency_caption(data: ReportData) -> str:
    """How latency was measured."""
    times = next((c.measured.latency for c in data.candidates if c.measured.latency), None)
    if times is None:
        return ""
    return (
        f"{times.repetitions} inferences of each, alternating between candidate and baseline in one process, "
        f"on {times.threads} thread{'s' if times.threads > 1 else ''} of {times.cpu}"
    )


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
    return table_of(f"Epochs of {curve.node}", ["epoch", *names], rows)


def layers(data: ReportData, figure: LayerFigure) -> Table | None:
    """A figure of each layer of each file."""
    files = charts.layer_files(data)
    names = charts.layer_names(files, figure)
    if not names:
        return None

    def text(layer: Layer | None) -> str:
        value = None if layer is None else figure.value(layer)
        return "–" if value is None else figure.text(value)

    rows = [[name, *(text(found.get(name)) for found in files.values())] for name in names]
    return table_of(f"{figure.title}, by layer", ["layer", *files], rows)


def slices(data: ReportData) -> Table | None:
    """The metric in each slice."""
    names = charts.slice_names(data)
    if not names:
        return None
    baseline = {name: one for c in reversed(data.candidates) for name, one in c.slices.items()}
    missed = [{j.slice_text for j in c.slice_judgements if not j.met} for c in data.candidates]
    rows = []
    for name in names:
        cells: list[Any] = [name, f"{baseline[name].examples:,}", accuracy_text(baseline[name].baseline)]
        for candidate, failed in zip(data.candidates, missed, strict=True):
            text = accuracy_text(candidate.slices[name].candidate) if name in candidate.slices else "–"
            cells.append(Cell(f"{text} {MISSED}", met=False) if name in failed else text)
        rows.append(cells)
    columns = ["slice", "examples", "baseline", *(c.name for c in data.candidates)]
    return table_of(f"{data.metric} by slice; {MISSED} marks what a limit does not allow", columns, rows)


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
                Cell(step.state, met=False if step.state == State.FAILED else None),
                duration_text(step.seconds) if step.state != State.CACHED else "",
                ", ".join(reads or dict.fromkeys(step.reads.values())) or "files",
            ]
        )
    columns = ["node", "component", "state", "took", "reads"]
    return table_of("Nodes of the run", columns, rows, texts=frozenset({0, 1, 2, 4}))


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
    """Findings in the data that were let pass; None if none were recorded."""
    schemas = [a for a in data.graph.artifacts.values() if FINDINGS in a.properties]
    if not schemas:
        return None
    newest = max(schemas, key=lambda artifact: artifact.id)
    rows = [
        [f.feature or "whole examples", f.split, f.kind, f.text, f.state]
        for f in lineage_facts.findings(newest)
    ]
    columns = ["feature", "split", "kind", "finding", "outcome"]
    return table_of("Found in the data", columns, rows, texts=frozenset(range(5)))


def ranges(data: ReportData) -> Table | None:
    """For each step that learned ranges, the one that clips most and those that do not fit; None if no step did."""
    rows = []
    for step in data.steps:
        found = activation_ranges.from_property(str(step.facts.get(activation_ranges.RANGES, "{}")))
        worst = max(found, key=lambda tensor: found[tensor].clipped, default="")
        rows += [
            [
                step.node,
                tensor,
                f"{one.low:.4g} to {one.high:.4g}",
                f"{one.clipped:.2%}",
                f"{one.unsettled:.2f}",
                Cell("does not fit" if one.wrong() else "fits", met=not one.wrong()),
            ]
            for tensor, one in found.items()
            if tensor == worst or one.wrong()
        ]
    if not rows:
        return None
    columns = ["step", "tensor", "range", "clipped", "off by × its range", "finding"]
    return table_of("Ranges of activations", columns, rows, texts=frozenset({0, 1, 2, 5}))


def data_files(data: ReportData) -> Table | None:
    """The files that the run read."""
    if not data.data:
        return None
    rows = [
        [split, found["file"], bytes_text(found["bytes"]), found["sha256"]]
        for split, files in data.data.items()
        for found in files
    ]
    return table_of("Data files", ["split", "file", "size", "SHA-256"], rows, texts=frozenset({0, 1, 3}))


def environment(data: ReportData) -> Table | None:
    """The environment of the run."""
    if not data.environment:
        return None
    facts = {k: v for k, v in data.environment.items() if k != "packages"}
    rows = [[name, value] for name, value in {**facts, **data.environment.get("packages", {})}.items()]
    return table_of("Environment", ["what", "version"], rows, texts=frozenset({0, 1}))
