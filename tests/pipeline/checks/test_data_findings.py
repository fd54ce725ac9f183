"""What was found in the data and let pass, in the report and in lineage."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from components.anomaly_gate.finding import FINDINGS, Finding, as_property
from pipeline.lineage import graph as lineage
from pipeline.lineage import tree as lineage_tree
from pipeline.report import tables
from pipeline.report.collection import collect
from pipeline.report.page import render
from tests.pipeline.report.made_run import MadeRun
from tests.pipeline.report.made_verdicts import passing

FOUND = [
    Finding(
        "eval", "payment", "unseen", "0.50% of the values are not in train", 0.005, 0.01, "", "tolerated"
    ),
    Finding(
        "train", "tract", "missing", "1 of 900 examples have a value <b>", 1 / 900, 0.01, "", "allowed"
    ),
]


def recorded(folder: Path, text: str | None) -> tuple[MadeRun, object, int]:
    """A finished run whose schema has this property; the run and the schema's id."""
    made = MadeRun(folder)
    run = made.whole(passing(), "int8", folder / "gone")
    (schema,) = made.store.get_artifacts_by_type("Schema")
    if text is not None:
        schema.custom_properties[FINDINGS].string_value = text
        made.store.put_artifacts([schema])
    return made, run, schema.id


def test_report_and_lineage_tell_what_was_let_pass(tmp_path: Path) -> None:
    made, run, schema = recorded(tmp_path, as_property(FOUND))
    data = collect(made.reader, run)
    table = tables.findings(data)
    assert table is not None
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["payment", "eval", "unseen", "0.50% of the values are not in train", "tolerated"],
        ["tract", "train", "missing", "1 of 900 examples have a value <b>", "allowed"],
    ]
    page = render(data)
    assert '<section id="data"' in page and "1 of 900 examples have a value &lt;b&gt;" in page

    console = Console(width=200, record=True, file=(tmp_path / "screen").open("w", encoding="utf-8"))
    console.print(lineage_tree.tree(lineage.upstream(made.reader, [schema]), [run]))
    shown = console.export_text()
    assert "tolerated feature 'payment' of split 'eval': unseen: 0.50% of the values are" in shown
    assert "allowed feature 'tract' of split 'train': missing" in shown


def test_nothing_found_is_said_and_nothing_known_is_not(tmp_path: Path) -> None:
    made, run, _ = recorded(tmp_path / "none", "[]")
    assert "The validation of the data found nothing." in render(collect(made.reader, run))
    made, run, _ = recorded(tmp_path / "unknown", None)
    assert '<section id="data"' not in render(collect(made.reader, run))
    made, run, _ = recorded(tmp_path / "other", '[{"from": "another version"}]')
    assert '<section id="data"' in render(collect(made.reader, run))
