"""Two runs side by side: what differs, as `paredown diff` finds it, and the figures of both."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.diff.difference import ADDED, REMOVED, RunDiff
from pipeline.diff.table import value_text
from pipeline.report.data import Candidate, Figure, ReportData
from pipeline.report.numbers import accuracy_text, bytes_text, ratio_text, time_text
from pipeline.report.table import Cell, Table
from pipeline.store.records import Run

# The inputs of runs; their results are in the table of candidates.
_MADE_OF = ("config", "code", "environment", "data", "seeds")


def made_of_table(compared: RunDiff) -> Table:
    """Where config, code, environment, data and seeds differ."""
    rows = []
    for section in compared.sections:
        for change in section.changes if section.name in _MADE_OF else ():
            what = " ".join(part for part in (change.group, change.key) if part)
            before = "–" if change.kind == ADDED else value_text(change.before, change.key)
            after = "–" if change.kind == REMOVED else value_text(change.after, change.key)
            rows.append((Cell(f"{section.name}: {what}"), Cell(before), Cell(after)))
    columns = ("what", "first run", "second run")
    caption = "What differs between the runs"
    return Table(caption, columns, tuple(rows), frozenset({0, 1, 2}))


def not_known(compared: RunDiff) -> list[str]:
    """Parts that cannot be compared, and why."""
    found = [text for name in _MADE_OF for text in compared.section(name).unknown]
    return [f"Not compared: {text}." for text in dict.fromkeys(found)]


def commit_text(run: Run) -> str:
    """The commit, and whether the code differed from it."""
    if not run.git_commit:
        return "not known"
    return run.git_commit[:12] + (" with changes" if run.git_dirty else "")


def candidates_table(one: ReportData, other: ReportData) -> Table:
    """Every candidate of either run: figures of both, and what changed."""
    mine = {c.name: c for c in one.candidates}
    theirs = {c.name: c for c in other.candidates}
    names = [*theirs, *(name for name in mine if name not in theirs)]
    titles = metrics(one, other)
    rows = tuple(
        _row(name, mine.get(name), theirs.get(name), _verdict(one, name), _verdict(other, name), titles)
        for name in names
    )
    figures = (*(titles if len(titles) > 1 else ("accuracy",)), "size", "gzip", "latency ratio")
    columns = (
        "candidate",
        "first run",
        "second run",
        *(n for f in figures for n in (f, "second", "change")),
    )
    return Table("Candidates of both runs", columns, rows, frozenset({0, 1, 2}))


def metrics(one: ReportData, other: ReportData) -> list[str]:
    """Every metric by which candidates of either run were judged, by its title."""
    candidates = (*one.candidates, *other.candidates)
    return list(dict.fromkeys(title for each in candidates for title in _accuracies(each)))


def _accuracies(candidate: Candidate | None) -> dict[str, float | None]:
    """Title of each of the gate's metrics → the candidate's value."""
    return {one.title: one.candidate for one in candidate.measured.metrics} if candidate else {}


def _verdict(data: ReportData, name: str) -> str:
    verdict = data.verdicts.get(name)
    if verdict is None:
        return "not built"
    if data.winner_name == name:
        return "selected"
    return "passed" if verdict.blessed else "failed"


def _row(
    name: str,
    one: Candidate | None,
    other: Candidate | None,
    verdict: str,
    verdict_then: str,
    titles: list[str],
) -> tuple[Cell, ...]:
    cells = [Cell(name), _verdict_cell(verdict), _verdict_cell(verdict_then)]
    metrics = _accuracies(one), _accuracies(other)
    for title in titles or [""]:
        cells += _pair(metrics[0].get(title), metrics[1].get(title), accuracy_text, _plus(".4f"))
    sizes: tuple[Figure, ...] = ("file", "gzip")
    for of in sizes:
        mine, theirs = (candidate.figure(of) if candidate else None for candidate in (one, other))
        cells += _pair(mine, theirs, bytes_text, _share)
    mine, theirs = (candidate.latency_ratio if candidate else None for candidate in (one, other))
    cells += _pair(mine, theirs, _ratio, _plus(".2f"))
    return tuple(cells)


def _verdict_cell(verdict: str) -> Cell:
    return Cell(verdict, met={"failed": False, "passed": True, "selected": True}.get(verdict))


def _ratio(value: float | None) -> str:
    return ratio_text(value, 2)


def _plus(layout: str) -> Callable[[float, float], str]:
    return lambda one, other: format(other - one, f"+{layout}")


def _share(one: float, other: float) -> str:
    return f"{other / one - 1:+.1%}" if one else "–"


def _pair(
    one: float | None,
    other: float | None,
    text: Callable[[float | None], str],
    change: Callable[[float, float], str],
) -> list[Cell]:
    changed = "–" if one is None or other is None else change(one, other)
    return [Cell(text(one)), Cell(text(other)), Cell(changed)]


def latency_times(data: ReportData) -> str:
    """The baseline's time, by which one sees whether two machines are alike."""
    return time_text(data.baseline("latency"))
