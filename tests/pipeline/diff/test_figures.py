"""What `paredown diff` finds in the metrics and verdicts of two runs."""

from __future__ import annotations

import json

from tests.pipeline.diff.two_runs import Project, changes_in, rendered, states, verdict


def test_metrics_and_verdicts_of_each_candidate(project: Project) -> None:
    reasons = ["accuracy 0.9 is below 0.975", "size; ratio"]
    first = project.run("run-1", verdicts={"int8": verdict(), "pruned-int8": verdict()})
    second = project.run(
        "run-2",
        verdicts={
            "int8": verdict(accuracy=0.9, ratio=0.75, size=900000, reasons=reasons),
            "qat": verdict(),
        },
        winner="qat",
        pushed="/s/2",
    )
    compared = project.diff(first, second)
    assert {change for change in changes_in(compared, "metrics") if change[0] == "int8"} == {
        ("int8", "accuracy", "changed", 0.9872, 0.9),
        ("int8", "latency ratio", "changed", 0.5, 0.75),
        ("int8", "size", "changed", 819416, 900000),
    }
    pruned = {change[1:] for change in changes_in(compared, "metrics") if change[0] == "pruned-int8"}
    assert ("latency", "removed", 0.05, None) in pruned and (
        "baseline latency",
        "removed",
        0.09,
        None,
    ) in pruned
    assert {kind for _, kind, _, _ in pruned} == {"removed"} and len(pruned) == 10
    assert changes_in(compared, "verdicts") == {
        ("", "winner", "changed", "int8", "qat"),
        ("", "pushed", "changed", "/s/1", "/s/2"),
        ("int8", "passed", "changed", True, False),
        ("int8", "reasons", "changed", "[]", json.dumps(reasons)),
        ("pruned-int8", "passed", "removed", True, None),
        ("pruned-int8", "reasons", "removed", "[]", None),
        ("qat", "passed", "added", None, True),
        ("qat", "reasons", "added", None, "[]"),
    }
    lines = [" ".join(line.split()) for line in rendered(compared).splitlines()]
    assert "accuracy 0.9872 0.9 (-0.0872)" in lines
    assert "size 819.4 kB 900.0 kB (+80.6 kB)" in lines
    assert "latency 0.05 ms –" in lines
    assert "passed yes no" in lines


def test_a_failed_run_says_that_it_has_no_verdict(project: Project) -> None:
    failed = project.run(
        "run-2",
        verdicts={},
        status="failed",
        failed_node="Trainer",
        reason="ValueError: no",
        winner="",
        pushed="",
    )
    compared = project.diff(project.run("run-1"), failed)
    assert compared.section("metrics").unknown == ("run-2 has no verdict",)
    assert states(compared)["metrics"] == "unknown"
    assert changes_in(compared, "verdicts") == {
        ("", "status", "changed", "pushed", "failed"),
        ("", "failed node", "changed", None, "Trainer"),
        ("", "reason", "changed", "", "ValueError: no"),
        ("", "winner", "changed", "int8", None),
        ("", "pushed", "changed", "/s/1", None),
    }
    assert "not known: run-2 has no verdict" in rendered(compared)


def test_figures_of_a_report_that_was_removed_come_from_ml_metadata(project: Project) -> None:
    long = [f"accuracy[label={number}] is worse than the baseline; {'x' * 90}" for number in range(9)]
    verdicts = {"int8": verdict(0.123456789, 1 / 3, reasons=long)}
    first, second = project.run("run-1", verdicts=verdicts), project.run("run-2", verdicts=verdicts)
    third = project.run("run-3", verdicts={"int8": verdict(0.5, 1 / 3)})
    project.reports[first].unlink()
    compared = project.diff(first, second)
    metrics = compared.section("metrics")
    assert metrics.changes == () and compared.section("verdicts").changes == ()
    assert metrics.unknown == (
        "the report of run-1 was removed or is damaged; its record in ML Metadata was compared",
    )
    assert metrics.state == "unknown"
    changed = project.diff(third, first)
    assert changes_in(changed, "metrics") == {("int8", "accuracy", "changed", 0.5, 0.123457)}
    assert ("int8", "passed", "changed", True, False) in changes_in(changed, "verdicts")
