"""What two runs differ in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.diff import difference as run_diff
from pipeline.report.data import Candidate, ReportData
from pipeline.report.numbers import accuracy_text, bytes_text, ratio_text, time_text
from pipeline.report.tables import Cell, Table
from pipeline.store.records import Run

_ABSENT = "–"


@dataclass(frozen=True)
class Difference:
    """A value that two documents do not share; `–` where one does not have it."""

    key: str
    one: str
    other: str


def differences(one: Any, other: Any) -> list[Difference]:
    """Every place at which two JSON documents differ, by its key: dots between keys and list positions."""
    return [
        Difference(
            change.key,
            _ABSENT if change.kind == run_diff.ADDED else _text(change.before),
            _ABSENT if change.kind == run_diff.REMOVED else _text(change.after),
        )
        for change in run_diff.changes(one, other)
    ]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        # A whole chain that only one has, without the options that nobody set.
        inside = ", ".join(f"{k}: {_text(v)}" for k, v in value.items() if v is not None)
        return f"{{{inside}}}"
    if isinstance(value, list):
        return f"[{', '.join(_text(item) for item in value)}]"
    return (
        {None: "null", True: "true", False: "false"}.get(value, str(value))
        if _is_plain(value)
        else str(value)
    )


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def config_table(one: ReportData, other: ReportData) -> Table:
    """Where the configs differ, the environments and the data."""
    found: list[tuple[str, Difference]] = []
    for kind in ("config", "environment", "data"):
        mine, theirs = getattr(one, kind), getattr(other, kind)
        if mine is not None and theirs is not None:
            found += [(kind, difference) for difference in differences(mine, theirs)]
    found += [("run", difference) for difference in run_differences(one.run, other.run)]
    rows = tuple((Cell(f"{kind}: {d.key}"), Cell(d.one), Cell(d.other)) for kind, d in found)
    columns = ("what", "first run", "second run")
    return Table("What the runs were made of, where it differs", columns, rows, frozenset({0, 1, 2}))


def run_differences(one: Run, other: Run) -> list[Difference]:
    """Code and seed, where they differ."""
    pairs = {
        "Paredown": (one.version, other.version),
        "Git commit": (commit_text(one), commit_text(other)),
        "seed": (one.seed, other.seed),
    }
    return [Difference(name, str(a), str(b)) for name, (a, b) in pairs.items() if a != b]


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
    """Title of each of the gate's metrics → what the candidate came to."""
    measured = candidate.measured if candidate else {}
    entries = measured.get("accuracies") or ([measured["accuracy"]] if "accuracy" in measured else [])
    return {
        entry.get("figure") or entry.get("metric", "accuracy"): entry.get("candidate") for entry in entries
    }


def _verdict(data: ReportData, name: str) -> str:
    candidate = next((c for c in data.candidates if c.name == name), None)
    if candidate is None:
        return "not built"
    if data.selection["winner"] == name:
        return "selected"
    return "passed" if candidate.passed else "failed"


def _row(
    name: str,
    one: Candidate | None,
    other: Candidate | None,
    verdict: str,
    verdict_then: str,
    titles: list[str],
) -> tuple[Cell, ...]:
    cells = [Cell(name), _verdict_cell(verdict), _verdict_cell(verdict_then)]
    mine, theirs = _accuracies(one), _accuracies(other)
    for title in titles or [""]:
        cells += _pair(mine.get(title), theirs.get(title), accuracy_text, _plus(".4f"))
    for of in ("file", "gzip"):
        cells += _pair(_figure(one, of), _figure(other, of), bytes_text, _share)
    cells += _pair(_figure(one, "latency"), _figure(other, "latency"), _ratio, _plus(".2f"))
    return tuple(cells)


def _verdict_cell(verdict: str) -> Cell:
    return Cell(verdict, met={"failed": False, "passed": True, "selected": True}.get(verdict))


def _figure(candidate: Candidate | None, figure: str) -> float | None:
    if candidate is None:
        return None
    if figure == "latency":
        return candidate.measured.get("latency", {}).get("ratio")
    return candidate.size(figure)


def _ratio(value: float | None) -> str:
    return ratio_text(value, 2)


def _plus(layout: str) -> Any:
    def text(one: float, other: float) -> str:
        return format(other - one, f"+{layout}")

    return text


def _share(one: float, other: float) -> str:
    return f"{other / one - 1:+.1%}" if one else "–"


def _pair(one: float | None, other: float | None, text: Any, change: Any) -> list[Cell]:
    changed = "–" if one is None or other is None else change(one, other)
    return [Cell(text(one)), Cell(text(other)), Cell(changed)]


def latency_times(data: ReportData) -> str:
    """The baseline's time, by which one sees whether two machines are alike."""
    return time_text(data.baseline("latency"))
