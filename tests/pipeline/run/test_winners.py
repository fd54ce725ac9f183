"""Why each target has its winner."""

from __future__ import annotations

import io

from rich.console import Console

from components.evaluator.judgement import Failure, FailureKind, size_figure
from components.evaluator.judging import conclude, judge_figure
from components.evaluator.verdict import Verdict
from components.measurer.measured import Accuracy, Measured, Size, Sizes
from components.selector.params import SelectOptions
from components.selector.report import SelectorReport
from pipeline.run.winners import Outcome, Winners


def verdict(size: int, limit: int = 10_000) -> Verdict:
    measured = Measured(
        size=Sizes(Size(size, size), Size(10_000, 10_000)),
        accuracy=Accuracy("SparseCategoricalAccuracy", True, 0.98, 0.98, 100),
    )
    return conclude(
        judge_figure(size_figure("file"), {"max": limit}, size, None, ascending=False), measured
    )


def outcome(
    winner: str | None, verdicts: dict[str, Verdict], left_out: dict[str, str] | None = None
) -> Outcome:
    report = SelectorReport(winner, SelectOptions(minimize="size"), verdicts)
    return Outcome(report, left_out or {}, "serving/1" if winner else None, "run", "/a/reports/<1>.html")


def test_each_cell_says_why() -> None:
    winners = Winners(
        {
            "mobile": outcome("small", {"small": verdict(3000), "large": verdict(8000)}),
            "web": outcome("large", {"large": verdict(8000)}, {"small": "LiteRT.js has no <int8> inputs"}),
            "microcontroller": outcome(
                None,
                {
                    "small": verdict(3000, 2000),
                    "large": conclude((), failures=[Failure(FailureKind.NODE_FAILED, "a node failed")]),
                },
            ),
        }
    )
    assert winners.rows() == [
        (
            "small",
            "selected: size 3.0 kB (accuracy 0.9800), best of 2 that passed",
            "not for this target: LiteRT.js has no <int8> inputs",
            "failed: size 3.0 kB is above 2.0 kB",
        ),
        (
            "large",
            "passed: size 8.0 kB (accuracy 0.9800), small has 3.0 kB (accuracy 0.9800)",
            "selected: size 8.0 kB (accuracy 0.9800), best of 1 that passed",
            "failed: a node failed",
        ),
    ]
    found = winners.to_json()
    assert {kind: one["winner"] for kind, one in found.items()} == {
        "mobile": "small",
        "web": "large",
        "microcontroller": None,
    }
    assert found["web"]["why"]["small"].startswith("not for this target")
    page = winners.html("a<b")
    assert "<int8>" not in page and "a&lt;b" in page and 'href="&lt;1&gt;.html"' in page
    shown = io.StringIO()
    winners.show(Console(file=shown, width=200))
    assert "microcontroller: none passed" in shown.getvalue() and "web: large" in shown.getvalue()
