"""Tables and progress of a run as people and logs see them."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import pytest
from rich.console import Console

from components.common.base.progress import Kind, Report
from components.common.tflite.arena import Arena
from components.common.tflite.npu_figures import NpuFigures
from components.evaluator.verdict import Verdict
from components.measurer.comparison import ClassBalance, Interval, LostClass, Uncertainty
from components.measurer.measured import Accuracy, Measured, Size, SliceValue, UnjudgedSlices
from components.measurer.packed import Packed
from components.selector.params import SelectOptions
from pipeline.config.config_file import load
from pipeline.plan.planner import make_plan
from pipeline.run.column import number
from pipeline.run.display import RunDisplay
from pipeline.run.launcher import Launched
from pipeline.run.verdict_table import columns, interval_text, verdict_table
from pipeline.store.state import State
from tests.verdicts import device, latency, served_load, sizes


def rendered(table: Any) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=160, color_system=None).print(table)
    return [line.strip() for line in stream.getvalue().splitlines()]


def judged(blessed: bool, reasons: tuple[str, ...] = (), **changes: Any) -> Verdict:
    accuracy = Accuracy("AUC", True, 0.9, 0.95, 1200)
    times = latency({50: 0.05}, baseline=1.5)
    figures = {
        "size": sizes(250_000, 900, Size(1_000_000, 800_000)),
        "accuracy": accuracy,
        "latency": times,
    }
    return Verdict(blessed, reasons, (), Measured(**{**figures, **changes}))


def test_verdicts_are_shown_beside_the_baseline() -> None:
    candidates = {"good": judged(True), "bad": judged(False, ("x", "y"))}
    lines = rendered(verdict_table(candidates, "good"))
    assert lines[0] == "Candidates against the baseline; accuracy is AUC on 1,200 examples"
    (baseline,) = [line for line in lines if line.startswith("baseline")]
    assert baseline.split() == ["baseline", "(float32)", "0.9500", "1.0", "MB", "800.0", "kB", "1.50", "ms"]
    (good,) = [line for line in lines if line.startswith("good")]
    assert good.split() == [
        *("good", "0.9000", "+0.0500", "250.0", "kB", "0.250", "900", "B", "50", "µs", "0.03"),
        *("passed,", "selected"),
    ]
    (bad,) = [line for line in lines if line.startswith("bad")]
    assert bad.endswith("failed: x (and 1 more)")


def test_what_a_microcontroller_takes_has_columns_if_it_was_measured() -> None:
    small = judged(True, device=device(9_800, same=0.9975))
    found = {c.head: (c.baseline, c.cells) for c in columns([small, judged(False, ("x",))])}
    assert found["memory"] == ("40.0 kB", ("9.8 kB", "–"))
    assert found["flash"] == ("1.0 MB", ("250.0 kB", "–"))
    assert found["same as LiteRT"] == ("", ("0.9975", "–"))
    assert "memory" not in {c.head for c in columns([judged(True)])}


def test_a_packed_file_has_columns_beside_the_plain_one() -> None:
    packed = Packed(500_000, Arena(7000, 1000), 0.5, 1.225, 2.8, 10_000, 3)
    small = judged(True, device=dataclasses.replace(device(9_800), packed=packed))
    found = {c.head: c.cells for c in columns([small, judged(True, device=device(9_800))])}
    assert found["packed flash ratio"] == ("0.500", "–")
    assert found["packed memory ratio"] == ("1.225", "–")
    assert found["packed time ratio"] == ("2.800", "–")
    assert found["packed bit-exact"] == ("9,997 of 10,000", "–")
    assert not [c.head for c in columns([judged(True, device=device(9_800))]) if "packed" in c.head]


def test_estimates_of_vela_have_columns() -> None:
    npu = NpuFigures("Vela 5", "ethos-u55-128", "", "", 698_386, 4608, 679_000, {"QUANTIZE": 2})
    found = {
        c.head: c.cells
        for c in columns([judged(True, device=dataclasses.replace(device(9_800), npu=npu)), judged(True)])
    }
    assert found["Vela cycles"] == ("698,386", "–")
    assert (found["Vela SRAM"], found["Vela flash"]) == (("4.6 kB", "–"), ("679.0 kB", "–"))
    assert found["on CPU"] == ("2", "–")


def test_each_mode_of_a_server_has_columns() -> None:
    found = {
        c.head: (c.baseline, c.cells) for c in columns([judged(True, load=served_load()), judged(True)])
    }
    for mode in ("REST unbatched", "gRPC unbatched", "REST batched", "gRPC batched"):
        assert found[mode] == ("1,000/s", ("900/s, 0.90 ×", "–"))
        assert found[f"{mode} p99"] == ("5.00 ms", ("6.00 ms, 1.20 ×", "–"))
    assert found["answers right"] == ("", ("1,200 of 1,200", "–"))
    lines = rendered(verdict_table({"served": judged(True, load=served_load())}, "served"))
    assert any("900/s" in line for line in lines)


def test_the_title_says_if_the_ratio_of_latency_selects() -> None:
    def first(**select: Any) -> str:
        return rendered(verdict_table({"a": judged(True)}, "a", select=SelectOptions(**select)))[0]

    plain = "Candidates against the baseline; accuracy is AUC on 1,200 examples"
    assert first(minimize="latency") == f"{plain}; selected by the ratio of latency"
    assert first(minimize="size") == first(maximize="accuracy") == plain


def test_a_candidate_that_could_not_be_measured_has_dashes_and_a_reason() -> None:
    broken = Verdict(False, ("loading the candidate failed",), ())
    lines = rendered(verdict_table({"broken": broken, "ok": judged(True)}, "ok"))
    assert any(line.startswith("baseline (float32)") and "0.9500" in line for line in lines)
    (shown,) = [line for line in lines if line.startswith("broken")]
    assert shown.split()[1:8] == ["–"] * 7
    assert shown.endswith("failed: loading the candidate failed")
    assert len(rendered(verdict_table({"broken": broken}, None))) >= 5


def test_each_output_has_columns() -> None:
    side = Accuracy("AUC", True, 0.9, 0.95, 9, figure="AUC of side", output="side")
    gap = Accuracy(
        "MeanAbsoluteError", False, 0.9, 0.95, 9, figure="MeanAbsoluteError of gap", output="gap"
    )
    broken = Verdict(False, ("does not load",), ())
    shown = columns([Verdict(True, (), (), Measured(accuracies=(side, gap))), broken])
    assert [(column.head, *column.cells) for column in shown[:4]] == [
        ("side", "0.9000", "–"),
        ("drop", "+0.0500", "–"),
        ("gap", "0.9000", "–"),
        ("rise", "-0.0500", "–"),
    ]


def several_metrics() -> tuple[Accuracy, ...]:
    names = (
        "SparseCategoricalAccuracy",
        "SparseTopKCategoricalAccuracy(k=2)",
        "SparseCategoricalCrossentropy",
    )
    return tuple(
        Accuracy(name.partition("(")[0], index < 2, 0.81 + index, 0.95, 400, figure=name)
        for index, name in enumerate(names)
    )


def test_with_several_metrics_at_140_columns_figures_and_verdicts_are_columns() -> None:
    reason = "accuracy/SparseCategoricalAccuracy is 0.14 worse than the baseline, 0.01 allowed"
    candidates = {
        "int8": judged(True, accuracies=several_metrics()),
        "pruned-int8": judged(False, (reason,), accuracies=several_metrics()),
    }
    stream = io.StringIO()
    Console(file=stream, width=140, color_system=None).print(verdict_table(candidates, "int8", 140))
    lines = stream.getvalue().splitlines()
    (row,) = [line.split() for line in lines if line.strip().startswith("int8 ")]
    assert [figure for figure in row if figure in ("0.8100", "1.8100", "2.8100")] == [
        "0.8100",
        "1.8100",
        "2.8100",
    ]
    assert "…" not in stream.getvalue() and max(map(len, lines)) <= 140
    text = stream.getvalue()
    assert "candidate" in text and "verdict" in text and "passed, selected" in text
    assert "SparseCategoricalAccuracy" in lines[0] and "Crossentropy" in text


def test_the_title_does_not_explain_a_name_by_itself() -> None:
    def first(*metrics: Accuracy) -> str:
        return rendered(verdict_table({"a": judged(True, accuracies=metrics)}, "a"))[0]

    auc = Accuracy("AUC", True, 0.9, 0.95, 9, figure="AUC")
    top = Accuracy("Precision", True, 0.9, 0.95, 9, figure="Precision(top_k=2)")
    assert first(auc, top) == "Candidates against the baseline; AUC, Precision(top_k=2) on 9 examples"
    of_one = Accuracy("AUC", True, 0.9, 0.95, 9, figure="AUC of side", output="side")
    assert first(of_one, auc) == "Candidates against the baseline; side is AUC, AUC on 9 examples"
    # An output with two metrics is not a head for both.
    two = Accuracy("Recall", True, 0.9, 0.95, 9, figure="Recall of side", output="side")
    assert (
        first(of_one, two) == "Candidates against the baseline; AUC of side, Recall of side on 9 examples"
    )
    heads = [c.head for c in columns([judged(True, accuracies=(of_one, two))])]
    assert heads[:3:2] == ["AUC of side", "Recall of side"]


def test_nothing_is_minus_zero() -> None:
    assert interval_text(Interval(-0.00001, -0.0)) == "+0.0000 to +0.0000"
    assert (number(-0.00001, "+.4f"), number(-0.0, ".4f"), number(-0.5, "+.4f")) == (
        "+0.0000",
        "0.0000",
        "-0.5000",
    )
    assert interval_text(Interval(-0.1, 0.00004)) == "-0.1000 to +0.0000"


def test_slices_that_only_train_has_are_named_below_the_table() -> None:
    unjudged = UnjudgedSlices(("kind",), 1, 7, ((SliceValue("kind", "ca\x1bsh"),),))
    accuracy = Accuracy("AUC", True, 0.9, 0.95, 1200, unjudged=(unjudged,))
    lines = rendered(
        verdict_table(
            {"one": judged(True, accuracy=accuracy), "two": judged(True, accuracy=accuracy)}, "one"
        )
    )
    named = "1 slice by kind is not judged: train has 7 examples of it and eval none (kind=ca\\x1bsh)"
    assert [line for line in lines if "slice" in line] == [named]
    assert not any("slice" in line for line in rendered(verdict_table({"one": judged(True)}, "one")))


def test_the_interval_of_the_drop_and_notes_on_classes_are_shown() -> None:
    uncertainty = Uncertainty(0.95, 1000, Interval(0.88, 0.92), Interval(-0.07, -0.03))
    lost = LostClass(2, 40, 0.1, 0.9)
    accuracy = Accuracy(
        "SparseCategoricalAccuracy", True, 0.9, 0.95, 1200,
        uncertainty=uncertainty, classes=ClassBalance(0, 0.8, (lost,)), lost=(lost,),
    )  # fmt: skip
    lines = rendered(verdict_table({"small": judged(True, accuracy=accuracy)}, None, width=200))
    text = " ".join(" ".join(lines).split())
    assert " 95% " in text and " interval " in text and "+0.0300 to +0.0700" in text
    assert "80.0% of the examples are of class 0: always predicting it has an accuracy of 0.8000" in text
    assert (
        "small: the candidate finds 10% of the 40 examples of class 2, the baseline 90%, and no limit of the gate "
        "is on classes"
    ) in text


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("width", [60, 70, 80, 90, 100, 110, 120, 140, 200])
def test_every_figure_is_whole_at_every_width(width: int, several: bool) -> None:
    uncertainty = Uncertainty(0.95, 1000, Interval(0.88, 0.92), Interval(-0.07, -0.03))
    accuracy = Accuracy("SparseCategoricalAccuracy", True, 0.91, 0.95, 1200, uncertainty=uncertainty)
    more = tuple(
        Accuracy("AUC", True, 0.871 + i, 0.95, 9, figure=f"AUC of output_{i}", output=f"output_{i}")
        for i in range(3)
    )
    measured = {"accuracies": more} if several else {}
    reasons = ("accuracy 0.9678 is below 0.975", "x")
    candidates = {
        "pruned-clustered-int8": judged(
            True, accuracy=accuracy, invariants={"least_layer_sparsity": 0.8}, **measured
        ),
        "distilled-int8": judged(False, reasons, accuracy=accuracy, **measured),
    }
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(
        verdict_table(candidates, "pruned-clustered-int8", width)
    )
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= width and "…" not in stream.getvalue()
    words = stream.getvalue().split()
    figures = ["0.8710", "1.8710", "2.8710"] if several else ["0.9100", "+0.0400", "+0.0300", "+0.0700"]
    for figure in [
        *figures,
        "0.250",
        "0.03",
        "250.0",
        "900",
        "80.0%",
        "1.50",
        "pruned-clustered-int8",
        "distilled-int8",
    ]:
        assert any(figure == word.strip(",:") for word in words), figure
    heads = ["output_0", "output_1", "output_2"] if several else ["accuracy", "interval"]
    for head in [*heads, "drop", "size", "gzip", "latency", "ratio", "sparsity"]:
        assert any(head == word.strip(",:") for word in words), head
    for word in [
        "passed,",
        "selected",
        "failed:",
        "accuracy",
        "0.9678",
        "is",
        "below",
        "0.975",
        "(and",
        "1",
        "more)",
    ]:
        assert word.strip("(),:") in {one.strip("(),:") for one in words}, word


def test_a_drop_of_an_error_is_its_rise() -> None:
    lines = rendered(
        verdict_table({"one": judged(True, accuracy=Accuracy("MAE", False, 0.97, 0.95))}, None)
    )
    assert "error" in "\n".join(lines) and "rise" in "\n".join(lines)
    assert any("+0.0200" in line for line in lines)


@pytest.mark.parametrize(
    ("invariants", "heads", "cells"),
    [
        ({"least_layer_sparsity": 0.7986}, ["sparsity"], ["79.9%"]),
        ({"least_m_by_n": 1.0, "most_layer_clusters": 16}, ["sparsity", "clusters"], ["m:n 100%", "16"]),
        ({"widest_layer": 7.5}, ["widest layer"], ["7.5"]),
    ],
)
def test_an_invariant_that_was_asked_for_has_a_column(
    invariants: dict[str, float], heads: list[str], cells: list[str]
) -> None:
    found = columns([judged(True), judged(True, invariants=invariants)])[7:]
    assert [column.head for column in found] == heads
    assert [column.cells for column in found] == [("", cell) for cell in cells]


def test_progress_without_a_terminal_is_a_line_for_each_node_and_now_and_then_for_an_epoch() -> None:
    file = load("configs/mnist/pipeline.yaml")
    stream = io.StringIO()
    console = Console(file=stream, width=140, color_system=None)
    plan = make_plan(file.config, file.path)
    display = RunDisplay(console, plan)
    display.before_node("Trainer")
    for seconds, said in (
        (0.5, Report("distribution: mirrored, 2 replicas", Kind.NOTE)),
        (1.0, Report("epoch 1/40")),
        (2.0, Report("epoch 1/40, 50 %", figures="loss 0.5")),
        (2.5, Report("epoch 1/40", Kind.EPOCH, 98.0, "loss 0.4")),
        (4.5, Report("epoch 2/40", Kind.EPOCH, 76.0, "loss 0.3")),  # too soon after the one before
        (12.5, Report("epoch 6/40", Kind.EPOCH, 68.0, "loss 0.25")),
        (72.4, Report("epoch 7/40, 90 %", left=3_600.0)),
        (72.5, Report("epoch 7/40, 95 %", Kind.STEP, 3_600.0, "loss 0.2")),  # an epoch that takes long
        (73.0, Report("epoch 40/40", Kind.LAST_EPOCH, figures="loss 0.1")),
    ):
        display.on_progress("Trainer", seconds, said)
    display.after_node("Trainer", Launched(State.RAN, 12.3, 7))
    display.after_node("qat", Launched(State.CACHED, 0.1, 8))
    display.after_node("distill", Launched(State.INTERRUPTED, 2.0))
    display.close()
    note, *epochs, second, third, fourth = stream.getvalue().splitlines()
    assert note.split() == ["Trainer", "note:", "distribution:", "mirrored,", "2", "replicas"]
    assert [" ".join(line.split()) for line in epochs] == [
        "Trainer epoch 1/40, 100 s left, loss 0.4",
        "Trainer epoch 6/40, 70 s left, loss 0.25",
        "Trainer epoch 7/40, 95 %, 1 h 00 min left, loss 0.2",
        "Trainer epoch 40/40, loss 0.1",
    ]
    assert second.split()[:5] == [f"1/{len(plan.nodes)}", "Trainer", "ran", "12.3", "s"]
    assert third.split()[:3] == [f"2/{len(plan.nodes)}", "qat", "cached"]
    assert fourth.split()[:5] == [f"3/{len(plan.nodes)}", "distill", "interrupted", "2.0", "s"]
