"""The report's tables."""

from __future__ import annotations

import dataclasses
from typing import Any

from components.common.base.activation_ranges import RANGES, ActivationRange, as_property
from components.evaluator.judgement import accuracy_figure
from components.evaluator.judging import conclude, judge_figure
from components.evaluator.served import FEATURES, MODEL
from pipeline.report import tables
from pipeline.report.data import Candidate, ReportData
from pipeline.report.table import Table
from tests.pipeline.report.made_verdicts import CONVERT, verdict


def judged(pushed: ReportData, **more: list[Any]) -> Table:
    """The table of limits of candidates that were judged by more than the example's gate."""
    candidates = []
    for name, judgements in more.items():
        found = verdict([CONVERT], 0.979, 250_000, 220_000, 0.1)
        found = conclude([*found.judgements, *judgements], found.measured)
        candidates.append(Candidate(name, found))
    table = tables.limits(ReportData(**{**vars(pushed), "candidates": tuple(candidates)}))
    assert table is not None
    return table


def test_ranges_that_do_not_fit_are_shown_with_the_one_that_clips_most(pushed: ReportData) -> None:
    ranges = {
        "conv": ActivationRange(low=0, high=6, clipped=0.002, unsettled=0.1),
        "dense": ActivationRange(low=-1, high=2, clipped=0.001, unsettled=0.7),
        "pool": ActivationRange(low=0, high=6, clipped=0.0, unsettled=0.1),
    }
    step = dataclasses.replace(pushed.steps[0], node="qat", facts={RANGES: as_property(ranges)})
    table = tables.ranges(dataclasses.replace(pushed, steps=(*pushed.steps, step)))

    assert table is not None
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["qat", "conv", "0 to 6", "0.20%", "0.10", "fits"],
        ["qat", "dense", "-1 to 2", "0.10%", "0.70", "does not fit"],
    ]
    assert tables.ranges(pushed) is None
    other = dataclasses.replace(step, facts={RANGES: "[1]"})
    assert tables.ranges(dataclasses.replace(pushed, steps=(other,))) is None


def served(limit: float, value: float) -> list[Any]:
    return [
        *judge_figure(FEATURES, {"max": 0.0}, 0, None, ascending=False),
        *judge_figure(MODEL, {"max": limit}, value, None, ascending=False),
    ]


def test_served_skew_is_one_column_though_each_candidate_has_its_own_limit(pushed: ReportData) -> None:
    table = judged(pushed, one=served(0.01, 0.005), other=served(0.02, 0.03))
    assert [name for name in table.columns if "served" in name] == ["the same when served"]
    cells = [row[table.columns.index("the same when served")] for row in table.rows]
    assert [(cell.text, cell.met) for cell in cells] == [("2 of 2 ✓", True), ("1 of 2 ✗", False)]


def test_each_of_several_metrics_can_be_first(pushed: ReportData) -> None:
    metrics = [
        judgement
        for metric, output in (("AUC", "side"), ("MeanAbsoluteError", "gap"))
        for judgement in judge_figure(
            accuracy_figure(metric, output, several=True), {"max": 0.9}, 0.5, None, ascending=False
        )
    ]
    columns = judged(pushed, one=metrics).columns
    assert {"AUC of side ≤ 0.9", "MeanAbsoluteError of gap ≤ 0.9"} < set(columns[:5])
    assert columns.index("MeanAbsoluteError of gap ≤ 0.9") < columns.index("types in the file")


def test_agreement_with_the_baseline_is_not_called_accuracy(pushed: ReportData) -> None:
    found = [
        judgement
        for metric in ("agreement", "MeanSquaredError against the baseline", "AUC")
        for judgement in judge_figure(accuracy_figure(metric), {"max_drop": 0.5}, 0.9, 1.0, ascending=True)
    ]
    for judgement, head in zip(
        found, ("agreement", "MeanSquaredError against the baseline", "accuracy"), strict=True
    ):
        assert tables._group(judgement, several=False)[1].startswith(head)
