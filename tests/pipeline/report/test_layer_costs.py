"""What layers of int8 files cost: in the report, in the table of verdicts, in lineage and on a terminal."""

from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console

from components.common.base.sensitivity import (
    REPAIR,
    SENSITIVITY,
    KeptLayer,
    LayerError,
    Repair,
    RepairedFigure,
    Sensitivity,
)
from components.evaluator.verdict import Verdict
from pipeline.explain import sensitivity_table
from pipeline.lineage import facts
from pipeline.report import layer_costs, page
from pipeline.report.charts.layer_costs import layer_costs as chart_of
from pipeline.report.data import ReportData
from pipeline.run import verdict_table
from pipeline.store.records import Artifact
from tests.pipeline.report.made_verdicts import CONVERT, verdict


def error(layer: str, rmse: float, value: float | None, **more: object) -> LayerError:
    found = LayerError(
        layer=layer, operators=["CONV_2D"], rmse_scale=rmse, snr=12.0, cosine=0.9, value=value
    )
    return found.model_copy(update=more)


FOUND = Sensitivity(
    metric="Accuracy",
    in_float=0.9,
    in_int8=0.35,
    examples=400,
    compared=50,
    layers=[
        error("wide", 39.6, 0.899, reason="weight_outliers", amount=0.99),
        error("first", 0.29, 0.352, snr=None, cosine=None),
        error("last", 0.28, None),
    ],
)
DONE = Repair(
    max_float=2,
    examples=400,
    metric="Accuracy",
    met=True,
    figures=[
        RepairedFigure(metric="Accuracy", baseline=0.9, before=0.35, after=0.899, limits={"max_drop": 0.01})
    ],
    layers=[KeptLayer(layer="wide", value=0.899), KeptLayer(layer="first", value=0.8985, kept=False)],
)
TEXT = "wide in float: Accuracy 0.35 → 0.899 (baseline 0.9) on 400 held-back training examples"
PROPERTIES = {SENSITIVITY: FOUND.as_property(), REPAIR: DONE.as_property()}


def test_properties_are_read_back_and_those_of_another_version_are_not() -> None:
    assert Sensitivity.from_property(PROPERTIES, SENSITIVITY) == FOUND
    assert Repair.from_property(PROPERTIES, REPAIR) == DONE
    assert Repair.from_property({REPAIR: '{"layers": 1}'}, REPAIR) is None
    assert Repair.from_property({}, REPAIR) is None


def test_each_layer_is_a_row_with_what_returns_why_and_what_to_write() -> None:
    heads, rows = sensitivity_table.columns(FOUND), sensitivity_table.rows(FOUND)
    wide, first, last = (dict(zip(heads, row, strict=True)) for row in rows)

    assert wide["alone in float"] == "0.8990"
    assert wide["gain"] == "+0.5490"
    assert wide["likely reason"] == "a few weights are far larger than the others: 99% become 0"
    assert wide["what to write"].startswith("float_layers: [wide], or clip the weights")
    assert (first["SNR"], first["cosine"], first["gain"]) == ("–", "–", "+0.0020")
    assert (last["gain"], last["what to write"]) == ("–", "–")


def test_an_error_that_falls_is_a_gain() -> None:
    found = FOUND.model_copy(update={"higher_is_better": False, "in_int8": 3.0})
    assert found.gain(error("wide", 1.0, 1.0)) == 2.0


def test_without_accuracies_there_are_errors_alone() -> None:
    found = Sensitivity(compared=50, layers=[error("wide", 39.6, None)])
    chart = chart_of(found, [])

    assert "gain" not in sensitivity_table.columns(found)
    assert sensitivity_table.summary(found) == "Errors on 50 training examples."
    assert chart is not None and list(chart.data[0].x) == [39.6]


@pytest.mark.parametrize("width", [80, 240])
def test_a_terminal_of_any_width_has_the_layers_in_order(width: int) -> None:
    stream = io.StringIO()
    sensitivity_table.show(Console(file=stream, width=width), "int8", FOUND)
    text = stream.getvalue()

    places = [text.index(f"\n {name} ") for name in ("wide", "first", "last")]
    assert places == sorted(places)
    assert "+0.5490" in text
    written = " ".join(text[max(places) :].split())
    assert (
        "wide: a few weights are far larger than the others: 99% become 0; write float_layers: [wide]"
        in written
    )
    assert "last: " not in written


def test_a_run_shows_what_its_files_lose(pushed: ReportData) -> None:
    candidate = pushed.candidates[0]
    assert candidate.model is not None
    producer = pushed.graph.producer(candidate.model)
    assert producer is not None
    steps = tuple(
        dataclasses.replace(step, facts={**step.facts, **PROPERTIES})
        if step.node == producer.node
        else step
        for step in pushed.steps
    )
    (cost,) = layer_costs.found(dataclasses.replace(pushed, steps=steps))

    assert (cost.name, cost.met, cost.repair) == (candidate.name, True, TEXT)
    assert [row[0].text for row in cost.table.rows] == ["wide", "first", "last"]
    assert list(cost.chart.data[0].y) == ["wide", "first"]
    colors = cost.chart.data[0].marker.color
    assert colors[0] != colors[1]  # of the layer in float
    assert [shape.x0 for shape in cost.chart.layout.shapes] == [0.9, 0.35]
    text = page.render(dataclasses.replace(pushed, steps=steps))
    assert "Layers that lose accuracy in int8" in text and TEXT in text
    assert layer_costs.found(pushed) == []


def test_a_verdict_has_the_repair() -> None:
    found = verdict([CONVERT], 0.979, 250_000, 220_000, 0.1)
    repaired = dataclasses.replace(found, measured=dataclasses.replace(found.measured, repair=DONE))

    assert Verdict.from_json(repaired.to_json()) == repaired
    assert "repair" not in found.to_json()["measured"]
    assert verdict_table.repair_notes({"int8": repaired, "other": found}) == [f"int8: repair: {TEXT}"]


def test_lineage_has_a_line_for_the_layer_and_one_for_the_repair() -> None:
    artifact = Artifact(1, "Model", "", True, PROPERTIES)

    assert facts.layer_costs(artifact) == [
        (
            "most sensitive layer",
            "wide, Accuracy +0.5490 if it alone stays in float, a few weights are far larger than the others: 99% "
            "become 0",
        ),
        ("repair", TEXT),
    ]
    assert facts.layer_costs(Artifact(1, "Model", "", True, {})) == []


def test_a_repair_that_falls_short_says_so() -> None:
    short = DONE.model_copy(update={"met": False, "layers": []})
    assert short.text().endswith("on 400 held-back training examples; limits are still missed")
    assert short.text().startswith("no layer in float that helps: ")
