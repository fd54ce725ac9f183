"""What the page of a search's last run says about its trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
import yaml

from components.common.base.quantities import bytes_text, number_text
from pipeline.config.search_section import Space
from pipeline.report import palette
from pipeline.report.charts.layout import plain
from pipeline.report.table import Cell, Table
from pipeline.search.table import chain_text
from pipeline.store.search_record import Fate, SearchRecord, Trial

_SYMBOLS = {Fate.PASSED: ("circle", palette.PASSED), Fate.MISSED: ("x", palette.FAILED)}
_OTHER_FIGURE = "gzip_size"
_TITLES = {"gzip_size": "gzip size in kB", "size": "size in kB", "accuracy": "accuracy"}


@dataclass(frozen=True)
class SearchSection:
    """The section of the page.

    Attributes:
        study: Name of the study.
        rounds: How many there were.
        objectives: What was searched for.
        trials: All trials, with a row each.
        scatter: Trials by size and accuracy; None if nothing was measured.
        importance: What decides the first objective; None if that is not known.
        best: The winner, or the best trial on the tune split if no trial won, as YAML to paste; empty if none passed.
        of: Which one that is.
    """

    study: str
    rounds: int
    objectives: str
    trials: Table
    scatter: go.Figure | None
    importance: go.Figure | None
    best: str
    of: str


def section(record: SearchRecord | None, winner: str | None) -> SearchSection | None:
    """The section about a search; None if the run is not the last one of a search.

    Args:
        record: Of the search that the run is part of; None if it is not.
        winner: The selected candidate.
    """
    if record is None or record.part != "last":
        return None
    space = Space.model_validate(record.space)
    trials = record.history
    front = set(record.front)
    won = next((trial for trial in trials if trial.name == winner), None)
    shown = won or next((trial for trial in trials if trial.number in front), None)
    best = ""
    if shown is not None:
        written = {"candidates": {shown.name: space.steps(shown.values)}}
        best = yaml.safe_dump(written, sort_keys=False, default_flow_style=None)
    return SearchSection(
        record.study,
        record.round,
        ", ".join(record.objectives),
        _table(trials, space, front),
        _scatter(trials, space, front),
        _importance(record.importances),
        best,
        shown.name if shown else "",
    )


def _table(trials: Sequence[Trial], space: Space, front: set[int]) -> Table:
    rows = []
    for trial in trials:
        outcome = trial.outcome
        figures = outcome.figures if outcome else {}
        rows.append(
            (
                Cell(f"{trial.number}{' (front)' if trial.number in front else ''}"),
                Cell(number_text(figures.get("accuracy"))),
                Cell(bytes_text(figures.get("size"))),
                Cell(bytes_text(figures.get("gzip_size"))),
                Cell(chain_text(space.steps(trial.values))),
                Cell(str(trial.fate), met=trial.fate is Fate.PASSED),
                Cell(outcome.run if outcome else ""),
            )
        )
    columns = ("trial", "accuracy", "size", "gzip", "candidate", "on the tune split", "run")
    return Table("Trials", columns, tuple(rows), texts=frozenset({0, 4, 5, 6}))


def _scatter(trials: Sequence[Trial], space: Space, front: set[int]) -> go.Figure | None:
    chart = plain(go.Figure(), height=360)
    for fate, (symbol, color) in _SYMBOLS.items():
        for best in (False, True):
            points = [
                (figures[_OTHER_FIGURE] / 1000, figures["accuracy"], trial)
                for trial in trials
                if trial.fate is fate
                and (trial.number in front) is best
                and trial.outcome
                and {_OTHER_FIGURE, "accuracy"} <= (figures := trial.outcome.figures).keys()
            ]
            if points:
                chart.add_trace(
                    go.Scatter(
                        x=[x for x, _, _ in points],
                        y=[y for _, y, _ in points],
                        mode="markers",
                        marker={
                            "symbol": "star" if best else symbol,
                            "color": color,
                            "size": 13 if best else 9,
                        },
                        text=[
                            f"trial {t.number}: {chain_text(space.steps(t.values))}" for _, _, t in points
                        ],
                        hovertemplate="%{text}<br>%{x:.1f} kB, %{y:.4f}<extra></extra>",
                        name="on the front" if best else str(fate),
                    )
                )
    if not chart.data:
        return None
    chart.update_xaxes(title=_TITLES[_OTHER_FIGURE])
    chart.update_yaxes(title=f"{_TITLES['accuracy']} on the tune split")
    return chart


def _importance(shares: Mapping[str, float]) -> go.Figure | None:
    if not shares:
        return None
    names = sorted(shares, key=lambda name: shares[name])
    bars = go.Bar(
        x=[shares[name] for name in names],
        y=names,
        orientation="h",
        marker={"color": palette.CANDIDATES[0]},
    )
    chart = plain(go.Figure(bars), height=110 + 26 * len(names))
    chart.update_layout(showlegend=False)
    chart.update_xaxes(title="share of what decides the first objective")
    return chart
