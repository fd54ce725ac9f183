"""The record of a search: written and read by one class, and shown in lineage and in the report."""

from __future__ import annotations

from typing import Any

import pytest

from components.common.base.document import DocumentError
from pipeline.lineage.run_branch import search_lines
from pipeline.report import searched
from pipeline.store.search_record import Fate, Outcome, SearchRecord, Trial

STEPS: list[dict[str, Any]] = [
    {"prune": {"sparsity": {"between": [0.5, 0.9]}}},
    {"convert": {"quantization": "int8"}},
]


def trial(number: int, fate: Fate, **figures: float) -> Trial:
    outcome = Outcome(fate, (figures.get("gzip_size", 0.0),), 0.0, figures, round=1, run=f"run-{number}")
    return Trial(number, {"prune.sparsity": 0.5 + number / 10}, outcome)


def record() -> SearchRecord:
    history = (
        trial(0, Fate.PASSED, accuracy=0.9, gzip_size=9000),
        trial(1, Fate.MISSED, accuracy=0.7, gzip_size=8000),
    )
    trials = {"trial-0": Trial(0, history[0].values)}
    return SearchRecord(
        "digits", "last", 2, 7, ("gzip_size",), tuple(STEPS), trials, history, (0,), {"prune.sparsity": 1.0}
    )


def test_what_is_written_is_read() -> None:
    values = record().to_json()
    assert SearchRecord.from_json(values) == record()
    assert "outcome" not in values["trials"]["trial-0"]
    # As it was before documents had a version.
    del values["schema_version"]
    assert SearchRecord.from_json(values) == record()


def test_lineage_names_the_trial_and_its_run() -> None:
    texts = [str(line.label) for line in search_lines(record().to_json(), "trial-0")]
    assert texts[0] == "search study digits, after 2 trials in 2 rounds, for gzip_size, seed 7"
    assert texts[1] == "trial 0: prune.sparsity 0.5; judged in run run-0"


def test_the_section_of_the_report_lists_every_trial() -> None:
    section = searched.section(record(), "trial-0")
    assert section is not None and (section.study, section.rounds, section.of) == ("digits", 2, "trial-0")
    assert [row[0].text for row in section.trials.rows] == ["0 (front)", "1"]
    assert "sparsity: 0.5" in section.best


def test_a_damaged_record_is_refused() -> None:
    values = record().to_json()
    del values["history"][0]["number"]
    with pytest.raises(DocumentError, match=r"history\.0\.number: Field required"):
        SearchRecord.from_json(values)
