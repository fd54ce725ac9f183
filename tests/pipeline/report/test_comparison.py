"""Two runs side by side."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

from pipeline.diff import difference
from pipeline.report import write_comparison
from pipeline.report.collection import collect
from pipeline.report.comparison import candidates_table, made_of_table, not_known
from pipeline.report.data import ReportData
from pipeline.report.page import render_comparison
from pipeline.store.records import Run
from tests.pipeline.report.made_run import MadeRun
from tests.pipeline.report.made_verdicts import CONFIG, CONVERT, passing, verdict


def same(run: Run) -> difference.RunDiff:
    sections = (difference.Section(name, (), ()) for name in difference.SECTIONS)
    return difference.RunDiff(run, run, tuple(sections))


def second(folder: Path) -> MadeRun:
    config = copy.deepcopy(CONFIG)
    config["gate"]["size"]["max_ratio"] = 0.2
    made = MadeRun(folder, "2026-11-23T10:00:00.000000", config)
    verdicts = passing()
    verdicts["int8"] = verdict([CONVERT], 0.981, 200_000, 220_000, 0.12, config["gate"])
    del verdicts["student"]
    made.whole(verdicts, "int8", folder / "gone")
    return made


def test_candidates_are_compared_by_name(
    pushed: ReportData, pushed_run: tuple[MadeRun, Run], tmp_path: Path
) -> None:
    made = second(tmp_path)
    other = collect(made.reader, made.run())
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in candidates_table(pushed, other).rows}
    assert rows["int8"] == [
        *("passed", "selected", "0.9790", "0.9810", "+0.0020", "250.0 kB", "200.0 kB", "-20.0%"),
        *("220.0 kB", "220.0 kB", "+0.0%", "0.50", "0.60", "+0.10"),
    ]
    assert rows["student"][:5] == ["failed", "not built", "0.9610", "–", "–"]
    compared = difference.diff(pushed_run[0].reader, pushed.run, made.reader, other.run)
    differences = [[cell.text for cell in row] for row in made_of_table(compared).rows]
    assert differences == [["config: gate.size.max_ratio", "0.3", "0.2"]]
    unknown = "Not compared: both runs had uncommitted changes, which the commit does not show."
    assert unknown in not_known(compared)


def judged_by(folder: Path, metric: str, second: str = "") -> ReportData:
    """A run whose gate has another metric, or two."""
    config = copy.deepcopy(CONFIG)
    config["gate"]["accuracy"]["metric"] = metric
    made = MadeRun(folder, "2026-11-23T10:00:00.000000", config)
    found = verdict([CONVERT], 0.981, 200_000, 220_000, 0.12, config["gate"])
    if second:
        accuracy = found.measured.accuracy
        entries = (
            dataclasses.replace(accuracy, figure=metric),
            dataclasses.replace(accuracy, figure=second, candidate=0.5),
        )
        measured = dataclasses.replace(found.measured, accuracy=entries[0], accuracies=entries)
        found = dataclasses.replace(found, measured=measured)
    return collect(made.reader, made.whole({**passing(), "int8": found}, "int8", folder / "gone"))


def test_each_of_several_metrics_is_compared_and_only_with_itself(
    pushed: ReportData, tmp_path: Path
) -> None:
    other = judged_by(tmp_path, "SparseCategoricalAccuracy", "MeanAbsoluteError of gap")
    table = candidates_table(pushed, other)
    assert table.columns[3:9] == (
        *("SparseCategoricalAccuracy", "second", "change"),
        *("MeanAbsoluteError of gap", "second", "change"),
    )
    row = next(row for row in table.rows if row[0].text == "int8")
    assert [cell.text for cell in row[3:9]] == ["0.9790", "0.9810", "+0.0020", "–", "0.5000", "–"]


def test_runs_that_were_judged_by_other_metrics_share_no_axis(pushed: ReportData, tmp_path: Path) -> None:
    other = judged_by(tmp_path, "AUC")
    row = next(row for row in candidates_table(pushed, other).rows if row[0].text == "int8")
    assert [cell.text for cell in row[3:9]] == ["0.9790", "–", "–", "–", "0.9810", "–"]
    text = render_comparison(pushed, other, same(pushed.run))
    assert "drawn by SparseCategoricalAccuracy and the second by AUC, which cannot share an axis" in text
    assert 'id="comparison-file"' not in text
    assert 'id="comparison-file"' in render_comparison(pushed, pushed, same(pushed.run))


def test_comparison_is_one_page(pushed: ReportData, pushed_run: tuple, tmp_path: Path) -> None:
    made, run = pushed_run
    other = MadeRun(tmp_path, "2026-11-23T10:00:00.000000")
    output = tmp_path / "deep" / "page.html"
    write_comparison(made.reader, run, other.reader, other.run(), output)
    text = output.read_text(encoding="utf-8")
    assert run.id in text and "2026-11-23T10:00:00.000000" in text
    assert [path.name for path in output.parent.iterdir()] == ["page.html"], "nothing is left beside it"
