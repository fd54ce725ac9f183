"""Who wins."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from tfx.types import standard_artifacts

from components.artifacts import OptimizationReport
from components.common.base.file_hashes import ChangedFile
from components.evaluator.judgement import Failure, FailureKind
from components.evaluator.verdict import Verdict
from components.measurer.measured import Accuracy
from components.selector.choice import select
from components.selector.executor import Executor
from components.selector.params import SelectOptions
from components.selector.report import SelectorReport
from tests.verdicts import device, latency, verdict


def winner(
    verdicts: dict[str, Verdict], minimize: Any = None, maximize: Any = None, of: str | None = None
) -> str | None:
    blessed = {name: entry.blessed for name, entry in verdicts.items()}
    return select(verdicts, blessed, SelectOptions(minimize=minimize, maximize=maximize, of=of))


def test_the_smallest_that_passed() -> None:
    verdicts = {"a": verdict(size=200), "b": verdict(size=150), "c": verdict(size=10, blessed=False)}
    assert winner(verdicts, minimize="size") == "b"


def test_memory_on_the_target_is_another_figure() -> None:
    verdicts = {
        "a": verdict(size=100, device=device(9_000)),
        "b": verdict(size=200, device=device(8_000)),
        "c": verdict(size=50),
    }
    assert winner(verdicts, minimize="memory") == "b"


def test_gzip_size_is_another_figure() -> None:
    verdicts = {"a": verdict(size=100, gzip=90), "b": verdict(size=200, gzip=20)}
    assert winner(verdicts, minimize="size") == "a"
    assert winner(verdicts, minimize="gzip_size") == "b"


@pytest.mark.parametrize(("percentile", "expected"), [(50, "a"), (99, "b")])
def test_latency_is_taken_at_the_gates_percentile(percentile: int, expected: str) -> None:
    verdicts = {
        "a": verdict(times=latency({50: 1.0, 99: 9.0}, percentile=percentile)),
        "b": verdict(times=latency({50: 2.0, 99: 3.0}, percentile=percentile)),
    }
    assert winner(verdicts, minimize="latency") == expected


def test_latency_is_taken_in_relation_to_the_baseline_that_was_measured_with_it() -> None:
    """The machine was twice as slow while `a` was measured: its milliseconds are more, and it is the faster one."""
    verdicts = {
        "a": verdict(times=latency(1.0, baseline=4.0)),
        "b": verdict(times=latency(0.8, baseline=2.0)),
    }
    assert winner(verdicts, minimize="latency") == "a"


def test_the_most_accurate() -> None:
    assert winner({"a": verdict(0.91), "b": verdict(0.93)}, maximize="accuracy") == "b"


def test_of_errors_the_smallest() -> None:
    verdicts = {
        name: verdict(Accuracy("MeanSquaredError", False, e)) for name, e in (("a", 2.0), ("b", 1.5))
    }
    assert winner(verdicts, maximize="accuracy") == "b"


def test_ties_go_to_the_more_accurate_then_to_the_name() -> None:
    verdicts = {"c": verdict(0.90), "b": verdict(0.95), "a": verdict(0.90)}
    assert winner(verdicts, minimize="size") == "b"
    verdicts["b"] = verdict(0.90)
    assert winner(verdicts, minimize="size") == "a"


def test_there_is_no_winner_if_no_candidate_passed() -> None:
    assert winner({"a": verdict(blessed=False)}, minimize="size") is None


def test_the_blessing_counts_not_the_verdict_beside_it() -> None:
    verdicts = {"a": verdict(size=1), "b": verdict(size=2)}
    options = SelectOptions(minimize="size")
    assert select(verdicts, {"a": False, "b": True}, options) == "b"


@pytest.mark.parametrize("unmeasured", ["size", "accuracy"])
def test_who_was_not_measured_cannot_win(unmeasured: str) -> None:
    verdicts = {"a": without(verdict(size=1), unmeasured), "b": verdict(size=2)}
    assert winner(verdicts, minimize="size") == "b"


def without(found: Verdict, figure: str) -> Verdict:
    return dataclasses.replace(found, measured=dataclasses.replace(found.measured, **{figure: None}))


def artifact(kind: Any, uri: Path) -> Any:
    made = kind()
    made.uri = str(uri)
    return made


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Runs the executor on candidates given as name → (verdict, blessed), and returns its outputs."""

    def do(
        candidates: dict[str, tuple[Verdict, bool]], minimize: str, failed: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        inputs: dict[str, list[Any]] = {}
        for name, (judged, blessed) in candidates.items():
            key = name.replace("-", "_")
            folder = tmp_path / name
            (folder / "model" / "Format-Serving").mkdir(parents=True)
            (folder / "model" / "Format-Serving" / "tflite").write_bytes(name.encode())
            file = "Format-Serving/tflite"
            found = {file: hashlib.sha256(name.encode()).hexdigest()}
            candidates[name] = (
                judged := dataclasses.replace(judged, judged={**found, **judged.judged}),
                blessed,
            )
            judged.write(folder / "verdict.json")
            blessing = artifact(standard_artifacts.ModelBlessing, folder / "blessing")
            blessing.set_int_custom_property("blessed", int(blessed))
            inputs[f"model_{key}"] = [artifact(standard_artifacts.Model, folder / "model")]
            inputs[f"blessing_{key}"] = [blessing]
            inputs[f"evaluation_{key}"] = [artifact(standard_artifacts.ModelEvaluation, folder)]
        kinds = {
            "model": standard_artifacts.Model,
            "blessing": standard_artifacts.ModelBlessing,
            "report": OptimizationReport,
        }
        outputs = {key: [artifact(kind, tmp_path / "out" / key)] for key, kind in kinds.items()}
        Executor().Do(
            inputs,
            outputs,
            {
                "candidates": json.dumps([*candidates, *failed]),
                "select": json.dumps({"minimize": minimize, "maximize": None}),
                "code_version": "1",
            },
        )
        return {key: made for key, (made,) in outputs.items()}

    return do


def files_of(artifact: Any) -> list[str]:
    return sorted(str(p.relative_to(artifact.uri)) for p in Path(artifact.uri).rglob("*") if p.is_file())


def test_the_winner_is_handed_on_with_its_blessing(run: Any) -> None:
    candidates = {
        "int8": (verdict(size=30), True),
        "pruned-int8": (verdict(size=20), True),
        "float16": (verdict(size=10, blessed=False), False),
        "student": (verdict(size=5), False),  # the artifact says no, whatever the file says
    }
    made = run(candidates, "size")

    assert files_of(made["model"]) == ["Format-Serving/tflite"]
    assert (Path(made["model"].uri) / "Format-Serving/tflite").read_bytes() == b"pruned-int8"
    assert made["model"].get_string_custom_property("candidate") == "pruned-int8"
    for name in ("files", "judged"):
        assert json.loads(made["model"].get_string_custom_property(name)) == {
            "Format-Serving/tflite": hashlib.sha256(b"pruned-int8").hexdigest()
        }
    assert files_of(made["blessing"]) == ["BLESSED"]
    assert made["blessing"].get_int_custom_property("blessed") == 1
    report = SelectorReport.read(Path(made["report"].uri) / "report.json")
    assert report.winner == "pruned-int8"
    assert report.select == SelectOptions(minimize="size")
    assert report.candidates == {name: judged for name, (judged, _) in candidates.items()}
    assert made["report"].get_string_custom_property("winner") == "pruned-int8"
    assert made["report"].get_int_custom_property("candidates") == 4


def test_a_winner_whose_files_are_not_those_that_were_judged_is_refused(run: Any) -> None:
    other = dataclasses.replace(verdict(), judged={"Format-Serving/tflite": "0" * 64})
    with pytest.raises(ChangedFile, match=r"int8/model/Format-Serving/tflite was changed"):
        run({"int8": (other, True)}, "size")


def test_without_a_winner_there_is_no_model_and_no_blessing(run: Any) -> None:
    made = run({"int8": (verdict(blessed=False), False)}, "size")

    assert files_of(made["model"]) == []
    assert made["model"].get_string_custom_property("candidate") == ""
    assert made["model"].get_string_custom_property("files") == ""
    assert files_of(made["blessing"]) == ["NOT_BLESSED"]
    assert made["blessing"].get_int_custom_property("blessed") == 0
    assert SelectorReport.read(Path(made["report"].uri) / "report.json").winner is None
    assert made["report"].get_int_custom_property("passed") == 0


def test_a_candidate_that_was_not_judged_does_not_pass_and_the_others_do(run: Any) -> None:
    made = run({"int8": (verdict(size=20), True)}, "size", failed=("pruned-int8",))
    report = SelectorReport.read(Path(made["report"].uri) / "report.json")
    assert (report.winner, report.passed) == ("int8", ("int8",))
    (failure,) = report.candidates["pruned-int8"].failures
    assert failure.kind is FailureKind.NODE_FAILED
    named = report.with_failures(
        {
            "pruned-int8": Failure(
                FailureKind.NODE_FAILED, "node prune failed: no", "prune", "/logs/prune.txt"
            )
        }
    )
    assert named.candidates["pruned-int8"].reasons == ("node prune failed: no",)
    assert named.candidates["int8"] == report.candidates["int8"]


@pytest.mark.parametrize(
    ("of", "expected"),
    [("side", "one"), ("AUC", "one"), ("gap", "two"), ("MeanAbsoluteError of gap", "two")],
)
def test_the_metric_that_select_names_decides_in_its_own_direction(of: str, expected: str) -> None:
    def judged(side: float, gap: float) -> Verdict:
        entries = (
            Accuracy("AUC", True, side, figure="AUC of side", output="side"),
            Accuracy("MeanAbsoluteError", False, gap, figure="MeanAbsoluteError of gap", output="gap"),
        )
        return verdict(entries[0], accuracies=entries)

    verdicts = {"one": judged(0.9, 0.2), "two": judged(0.8, 0.1)}
    assert winner(verdicts, maximize="accuracy", of=of) == expected
