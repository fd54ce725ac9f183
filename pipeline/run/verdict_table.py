"""The candidates beside the baseline: columns of texts, which the terminal and the report both show."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from components.common.base.metric_facts import AGREEMENT
from components.common.base.quantities import bytes_text, time_text
from components.evaluator.verdict import Verdict
from components.measurer.comparison import Interval
from components.measurer.measured import Accuracy, Measured, Side
from components.registry import headlines
from components.selector.params import SelectOptions
from pipeline.base.texts import printable
from pipeline.run import device_columns, federated_columns, load_columns
from pipeline.run.column import Column, number

# A verdict gets this many columns of the terminal before figures are stacked.
_OUTCOME = 24
_BASELINE = "baseline (float32)"
# Columns of a head from which on it is folded.
_LONG_HEAD = 14
# From this share of the most common class on, classes are out of balance.
_UNEVEN = 0.75


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
        ),
        Column(
            "size ratio",
            "",
            tuple(number(m.size.ratio("file") if m.size else None, ".3f") for m in found),
            under=True,
        ),
        Column(
            "gzip",
            bytes_text(size.gzip if size else None),
            tuple(bytes_text(m.bytes("gzip")) for m in found),
        ),
        Column("latency", _latency(first, "baseline"), tuple(_latency(m, "candidate") for m in found)),
        Column(
            "latency ratio",
            "",
            tuple(number(m.latency.ratio if m.latency else None, ".2f") for m in found),
            under=True,
        ),
    ]
    on_target = [*device_columns.columns(first, found), *load_columns.columns(first, found)]
    return [*shown, *on_target, *_invariants(found), *federated_columns.columns(list(verdicts))]


def title(verdicts: Collection[Verdict], select: SelectOptions | None = None) -> str:
    """The table's title, which explains the heads of metrics, and which figure of latency selects.

    Args:
        verdicts: At least one.
        select: What the winner is best at; None if that is not known.
    """
    by_latency = "; selected by the ratio of latency" if select and select.minimize == "latency" else ""
    first = max((verdict.measured for verdict in verdicts), key=_completeness)
    known = [(metric, head) for metric, head in _headed(first) if metric.examples]
    if not known:
        return f"Candidates against the baseline{by_latency}"
    named = ", ".join(_meaning(metric, head) for metric, head in known)
    return f"Candidates against the baseline; {named} on {known[0][0].examples:,} examples{by_latency}"


def notes(verdicts: Collection[Verdict]) -> list[str]:
    """Slices that the gate could not judge, without repetitions."""
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


def repair_notes(candidates: Mapping[str, Verdict]) -> list[str]:
    """What the repair of each int8 file did that has one.

    Args:
        candidates: Candidate → its verdict.
    """
    return [
        f"{name}: repair: {verdict.measured.repair.text()}"
        for name, verdict in candidates.items()
        if verdict.measured.repair is not None
    ]


def outcome(verdict: Verdict, selected: bool) -> str:
    """A short verdict with the first reason only."""
    if selected:
        return "passed, selected"
    if verdict.blessed:
        return "passed"
    more = len(verdict.reasons) - 1
    return f"failed: {verdict.reasons[0]}" + (f" (and {more} more)" if more else "")


def verdict_table(
    candidates: Mapping[str, Verdict],
    winner: str | None,
    width: int = 200,
    select: SelectOptions | None = None,
) -> RenderableType:
    """The table for a terminal. A narrow one gets the same figures, stacked or as text.

    Args:
        candidates: Candidate → its verdict; at least one.
        winner: The selected candidate.
        width: Columns of the terminal.
        select: What the winner is best at; None if that is not known.
    """
    shown = columns(candidates.values())
    names = [
        _Name(name, outcome(verdict, name == winner), verdict.blessed, name == winner)
        for name, verdict in candidates.items()
    ]
    found = [*notes(candidates.values()), *class_notes(candidates), *repair_notes(candidates)]
    lines = [printable(note) for note in found]
    figures = _wide(shown, names, width) or _stacked(shown, names, width) or _as_text(shown, names)
    heading = Text(title(candidates.values(), select), style="italic")
    return Group(heading, figures, *(Text(line, style="dim italic") for line in lines))


@dataclass(frozen=True)
class _Name:
    """A candidate's name and verdict, as rows begin and end with them."""

    name: str
    outcome: str
    blessed: bool
    selected: bool

    def name_text(self) -> Text:
        return Text(self.name, style="bold" if self.selected else "")

    def outcome_text(self) -> Text:
        color = "bold green" if self.selected else "green" if self.blessed else "red"
        return Text(self.outcome, style=color)


def _table(
    heads: Sequence[str], rows: Sequence[Sequence[Text]], least: Mapping[int, int], width: int
) -> Table | None:
    """A table whose figures stay in one line; None if it is wider than the terminal.

    Args:
        heads: Heads of the columns.
        rows: Texts; the first row is the baseline's.
        least: Column whose texts may be folded → its least width.
        width: Width of the terminal.
    """
    lines = max(head.count("\n") for head in heads)
    table = Table(box=box.SIMPLE_HEAD, leading=int(any("\n" in cell.plain for row in rows for cell in row)))
    needed = 3 * len(heads) + 1  # the table's own lines and spaces
    for index, head in enumerate(heads):
        texts = [head, *(row[index].plain for row in rows)]
        natural = max(cell_len(line) for text in texts for line in text.split("\n"))
        needed += min(natural, least.get(index, natural))
        head = "\n" * (lines - head.count("\n")) + head
        if index in least:
            table.add_column(head, overflow="fold", min_width=min(natural, least[index]))
        else:
            table.add_column(head, justify="right" if index else "left", no_wrap=True)
    for index, row in enumerate(rows):
        table.add_row(*row, style="" if index else "dim")
    return table if needed <= width else None


def _wide(shown: Sequence[Column], names: Sequence[_Name], width: int) -> Table | None:
    """A line for each candidate."""
    heads = ["candidate", *(_folded(column.head.replace(" ", "\n")) for column in shown), "verdict"]
    rows = [[Text(_BASELINE), *(Text(column.baseline) for column in shown), Text("")]]
    rows += [
        [name.name_text(), *(Text(column.cells[index]) for column in shown), name.outcome_text()]
        for index, name in enumerate(names)
    ]
    return _table(heads, rows, {len(heads) - 1: _OUTCOME}, width)


def _stacked(shown: Sequence[Column], names: Sequence[_Name], width: int) -> Table | None:
    """Related figures below each other, and each verdict below its candidate."""
    stacks: list[list[Column]] = []
    for column in shown:
        if column.under:
            stacks[-1].append(column)
        else:
            stacks.append([column])
    heads = [
        "candidate\nverdict",
        *(
            "\n".join(_folded(_lines(column.head.removeprefix(f"{stack[0].head} "))) for column in stack)
            for stack in stacks
        ),
    ]
    rows = [[Text(_BASELINE), *(Text(stack[0].baseline) for stack in stacks)]]
    rows += [
        [
            Text("\n").join([name.name_text(), name.outcome_text()]),
            *(Text("\n".join(_lines(column.cells[index]) for column in stack)) for stack in stacks),
        ]
        for index, name in enumerate(names)
    ]
    return _table(heads, rows, {0: max(len(_BASELINE), *(cell_len(name.name) for name in names))}, width)


def _lines(text: str) -> str:
    """A head or cell of a stack; an interval takes two lines."""
    return text.replace(" interval", "\ninterval").replace(" to ", "\nto ")


def _folded(head: str) -> str:
    """A head whose long names of metrics take a line for each of their words."""
    return "\n".join(
        line if len(line) <= _LONG_HEAD else re.sub(r"(?<=\w)(?=[A-Z][a-z]|\()", "\n", line)
        for line in head.split("\n")
    )


def _as_text(shown: Sequence[Column], names: Sequence[_Name]) -> Group:
    """A paragraph for each candidate."""
    baseline = [f"{column.head} {column.baseline}" for column in shown if column.baseline]
    paragraphs = [Text(f"\n{_BASELINE}: {', '.join(baseline)}", style="dim")]
    for index, name in enumerate(names):
        figures = [f"{column.head} {column.cells[index]}" for column in shown if column.cells[index]]
        paragraphs.append(
            Text("\n").append_text(name.name_text()).append(": ").append_text(name.outcome_text())
        )
        paragraphs.append(Text(", ".join(figures)))
    return Group(*paragraphs)


def _metrics(measured: Measured) -> Sequence[Accuracy]:
    return measured.metrics or (Accuracy("accuracy", True),)


def _headed(measured: Measured) -> list[tuple[Accuracy, str]]:
    """Each metric with the head of its column: short, because the title explains it."""
    metrics = _metrics(measured)
    outputs = [metric.output for metric in metrics]
    found = []
    for metric in metrics:
        if metric.figure is None:
            head = "accuracy" if metric.higher_is_better else "error"
        elif metric.output and outputs.count(metric.output) == 1:
            head = metric.output
        else:
            head = metric.figure
        found.append((metric, head))
    return found


def _accuracy(first: Measured, found: Sequence[Measured], index: int) -> list[Column]:
    """A metric, how much worse than the baseline's it is, and the interval of that if it was measured."""
    metric, head = _headed(first)[index]
    own = [m.metrics[index] if index < len(m.metrics) else None for m in found]
    shown = [
        Column(
            head,
            number(metric.baseline, ".4f"),
            tuple(number(one.candidate if one else None, ".4f") for one in own),
        ),
        Column(
            "drop" if metric.higher_is_better else "rise",
            "",
            tuple(number(one.drop if one else None, "+.4f") for one in own),
            under=True,
        ),
    ]
    if any(one and one.drop_interval for one in own):
        intervals = tuple(interval_text(one.drop_interval if one else None) for one in own)
        shown.append(Column("95% interval", "", intervals, under=True))
    return shown


def interval_text(interval: Interval | None) -> str:
    """Both ends of an interval; a dash if there is none."""
    if interval is None or interval.low is None or interval.high is None:
        return "–"
    return f"{number(interval.low, '+.4f')} to {number(interval.high, '+.4f')}"


def _meaning(metric: Accuracy, head: str) -> str:
    """The meaning of the head of a metric's column; the head alone if it names the metric."""
    if metric.metric == AGREEMENT:
        return f"{head} is the share of the baseline's own decisions"
    return head if head == metric.figure else f"{head} is {metric.metric}"


def _completeness(measured: Measured) -> int:
    accuracy = measured.accuracy.baseline if measured.accuracy else None
    return sum(found is not None for found in (measured.size, measured.latency, accuracy, measured.device))


def _invariants(found: Sequence[Measured]) -> list[Column]:
    """A column for each kind of invariant that was asked for: the figure of the layer that is worst off."""
    asked = dict.fromkeys(name for measured in found for name in measured.invariants)
    kinds = {name: kind for name, kind in headlines().items() if name in asked}
    # If this program does not have the technique, the figure is shown as it is.
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
        Column(head, "", tuple(cell(measured, head) for measured in found))
        for head in dict.fromkeys(heads.values())
    ]


def _latency(measured: Measured, side: Side) -> str:
    return time_text(measured.milliseconds(side, 50))
