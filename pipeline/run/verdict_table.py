"""The candidates beside the baseline: columns of texts, which the terminal and the report both show."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from components.common.base.metric_facts import AGREEMENT
from components.evaluator.verdict import Verdict
from components.measurer.comparison import Interval
from components.measurer.measured import Accuracy, Measured, Side
from components.registry import headlines
from components.selector.params import SelectOptions
from pipeline.base.texts import bytes_text, printable

# Narrower than this, only what decides is shown.
_WIDE = 100
# From this share of the most common class on, classes are out of balance.
_UNEVEN = 0.75


@dataclass(frozen=True)
class Column:
    """One figure of the baseline and of every candidate.

    Attributes:
        head: Its name.
        baseline: The baseline's value.
        cells: Each candidate's, in their order.
        decides: Whether a narrow terminal shows it, too.
    """

    head: str
    baseline: str
    cells: tuple[str, ...]
    decides: bool = True


def columns(verdicts: Collection[Verdict]) -> list[Column]:
    """Every figure that was measured or asked for."""
    found = [verdict.measured for verdict in verdicts]
    # Every evaluation measures the baseline again; one that failed early may lack it.
    first = max(found, key=_completeness)
    shown = [column for index in range(len(_metrics(first))) for column in _accuracy(first, found, index)]
    size = first.size.baseline if first.size else None
    shown += [
        Column(
            "size",
            bytes_text(size.file if size else None),
            tuple(bytes_text(m.bytes("file")) for m in found),
            False,
        ),
        Column("ratio", "", tuple(number(m.size.ratio("file") if m.size else None, ".3f") for m in found)),
        Column(
            "gzip",
            bytes_text(size.gzip if size else None),
            tuple(bytes_text(m.bytes("gzip")) for m in found),
            False,
        ),
        Column(
            "latency", _latency(first, "baseline"), tuple(_latency(m, "candidate") for m in found), False
        ),
        Column("ratio", "", tuple(number(m.latency.ratio if m.latency else None, ".2f") for m in found)),
    ]
    return shown + _invariants(found)


def title(verdicts: Collection[Verdict], select: SelectOptions | None = None) -> str:
    """The table's title, which says what the heads of metrics stand for, and which figure of latency selects.

    Args:
        verdicts: At least one.
        select: What the winner is best at; None if that is not known.
    """
    by_latency = "; selected by the ratio of latency" if select and select.minimize == "latency" else ""
    first = max((verdict.measured for verdict in verdicts), key=_completeness)
    known = [metric for metric in _metrics(first) if metric.examples]
    if not known:
        return f"Candidates against the baseline{by_latency}"
    named = ", ".join(_meaning(metric) for metric in known)
    return f"Candidates against the baseline; {named} on {known[0].examples:,} examples{by_latency}"


def notes(verdicts: Collection[Verdict]) -> list[str]:
    """What the gate could not judge, without repetitions."""
    found = dict.fromkeys(one for verdict in verdicts for one in verdict.measured.unjudged)
    return [one.text for one in found]


def class_notes(candidates: Mapping[str, Verdict]) -> list[str]:
    """How uneven the classes are, and which ones a candidate has lost.

    Args:
        candidates: Candidate → its verdict.
    """
    metrics = [
        (name, metric) for name, verdict in candidates.items() for metric in verdict.measured.metrics
    ]
    uneven = [m.classes.text for _, m in metrics if m.classes and m.classes.share >= _UNEVEN]
    lost = [
        f"{name}: {found.text}, and no limit of the gate is on classes"
        for name, metric in metrics
        for found in metric.lost
    ]
    return list(dict.fromkeys([*uneven, *lost]))


def outcome(verdict: Verdict, selected: bool) -> str:
    """A verdict in a few words: the first reason stands for all."""
    if selected:
        return "passed, selected"
    if verdict.blessed:
        return "passed"
    more = len(verdict.reasons) - 1
    return f"failed: {verdict.reasons[0]}" + (f" (and {more} more)" if more else "")


def verdict_table(
    candidates: Mapping[str, Verdict],
    winner: str | None,
    width: int = _WIDE,
    select: SelectOptions | None = None,
) -> Table:
    """The table for a terminal.

    Args:
        candidates: Candidate → its verdict; at least one.
        winner: The selected candidate.
        select: What the winner is best at; None if that is not known.
        width: Columns of the terminal; a narrow one gets ratios only.
    """
    shown = [column for column in columns(candidates.values()) if column.decides or width >= _WIDE]
    table = Table(title=title(candidates.values(), select), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("candidate", no_wrap=True)
    for column in shown:
        table.add_column(column.head, justify="right", no_wrap=True)
    table.add_column("verdict", overflow="fold", min_width=12)
    table.add_row("baseline (float32)", *(column.baseline for column in shown), "", style="dim")
    for index, (name, verdict) in enumerate(candidates.items()):
        selected = name == winner
        color = "bold green" if selected else "green" if verdict.blessed else "red"
        table.add_row(
            Text(name, style="bold" if selected else ""),
            *(Text(column.cells[index]) for column in shown),
            Text(outcome(verdict, selected), style=color),
        )
    if lines := [printable(note) for note in [*notes(candidates.values()), *class_notes(candidates)]]:
        table.caption, table.caption_justify = Text("\n".join(lines)), "left"
    return table


def _metrics(measured: Measured) -> Sequence[Accuracy]:
    return measured.metrics or (Accuracy("accuracy", True),)


def _accuracy(first: Measured, found: Sequence[Measured], index: int) -> list[Column]:
    """A metric, how much worse than the baseline's it is, and the interval of that if it was measured."""
    metric = _metrics(first)[index]
    own = [m.metrics[index] if index < len(m.metrics) else None for m in found]
    shown = [
        Column(
            _head(metric),
            number(metric.baseline, ".4f"),
            tuple(number(one.candidate if one else None, ".4f") for one in own),
        ),
        Column(
            "drop" if metric.higher_is_better else "rise",
            "",
            tuple(number(one.drop if one else None, "+.4f") for one in own),
        ),
    ]
    if any(one and one.drop_interval for one in own):
        intervals = tuple(interval_text(one.drop_interval if one else None) for one in own)
        shown.append(Column("95 % interval", "", intervals, False))
    return shown


def interval_text(interval: Interval | None) -> str:
    """Both ends of an interval; a dash if there is none."""
    if interval is None or interval.low is None or interval.high is None:
        return "–"
    return f"{interval.low:+.4f} to {interval.high:+.4f}"


def _meaning(metric: Accuracy) -> str:
    """What the head of a metric's column stands for."""
    head = _head(metric)
    if metric.metric == AGREEMENT:
        return f"{head} is the share of the baseline's own decisions"
    return f"{head} is {metric.metric}"


def _head(metric: Accuracy) -> str:
    """Head of a metric's column: short, as the title says what it stands for."""
    if metric.figure:
        return metric.output or metric.figure
    return "accuracy" if metric.higher_is_better else "error"


def _completeness(measured: Measured) -> int:
    accuracy = measured.accuracy.baseline if measured.accuracy else None
    return sum(found is not None for found in (measured.size, measured.latency, accuracy))


def _invariants(found: Sequence[Measured]) -> list[Column]:
    """A column for each kind of invariant that was asked for: the figure of the layer that is worst off."""
    asked = dict.fromkeys(name for measured in found for name in measured.invariants)
    kinds = {name: kind for name, kind in headlines().items() if name in asked}
    # Of a technique that this program does not have, the figure is shown as it is.
    heads = {
        name: kinds[name].column if name in kinds else name.replace("_", " ") for name in [*kinds, *asked]
    }

    def cell(measured: Measured, head: str) -> str:
        name = next((name for name in heads if heads[name] == head and name in measured.invariants), None)
        if name is None:
            return ""
        value = measured.invariants[name]
        return kinds[name].text(value) if name in kinds else f"{value:g}"

    return [
        Column(head, "", tuple(cell(measured, head) for measured in found), False)
        for head in dict.fromkeys(heads.values())
    ]


def _latency(measured: Measured, side: Side) -> str:
    return time_text(measured.milliseconds(side, 50))


def time_text(milliseconds: float | None) -> str:
    """A latency."""
    if milliseconds is None:
        return "–"
    return f"{milliseconds * 1000:.0f} µs" if milliseconds < 1 else f"{milliseconds:.2f} ms"


def number(value: float | None, layout: str) -> str:
    """A number in a layout of `format`; a dash if there is none."""
    return "–" if value is None else format(value, layout)
