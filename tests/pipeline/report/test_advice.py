"""What the report says to try."""

from __future__ import annotations

import copy
import math
import random
from pathlib import Path
from typing import Any

import pytest

from components.evaluator import served
from components.evaluator.judgement import Failure, FailureKind, Figure, Judgement, Kind
from components.evaluator.judging import conclude, judge_figure
from components.evaluator.params import Gate
from components.evaluator.verdict import Verdict
from pipeline.report.advice import advise, after_failure, gate_range, loosen
from pipeline.report.collection import collect
from pipeline.report.data import Candidate, ReportData
from pipeline.store.records import FailureCause
from pipeline.store.state import State
from tests.pipeline.report.made_run import MadeRun
from tests.pipeline.report.made_verdicts import BASELINE, CONVERT, DISTILL, GATE, PRUNE, verdict


def data_of(base: ReportData, gate: dict[str, Any], **verdicts: Verdict) -> ReportData:
    """The same run with other candidates."""
    candidates = tuple(Candidate(name.replace("_", "-"), found) for name, found in verdicts.items())
    values = {**vars(base), "candidates": candidates, "gate": Gate.model_validate(gate)}
    return ReportData(**values)


def gate_with(**sections: dict[str, Any]) -> dict[str, Any]:
    gate = copy.deepcopy(GATE)
    gate["accuracy"].pop("slices")
    for name, section in sections.items():
        gate[name] = {
            **{k: v for k, v in gate[name].items() if not k.startswith("m") or k == "metric"},
            **section,
        }
    return gate


@pytest.mark.parametrize(
    ("limit", "value", "bound", "expected"),
    [
        (0.2, 0.2517, "max_ratio", 0.26),
        (0.975, 0.9678, "min", 0.967),
        (0.005, 0.0193, "max_drop", 0.02),
        (60_000, 254_698, "max", 260_000),
        (0.3, 0.3, "max_ratio", 0.3),
        (1.0, 7.277, "max_ratio", 8.0),
    ],
)
def test_loosened_limit_is_round(limit: float, value: float, bound: str, expected: float) -> None:
    assert loosen(limit, value, bound) == expected


def test_loosened_limit_is_met_and_hardly_wider_than_needed() -> None:
    draw = random.Random(1)
    for _ in range(2000):
        limit = draw.uniform(0.001, 1) * 10 ** draw.randrange(-3, 6)
        miss = draw.uniform(0.001, 2) * limit
        upper = loosen(limit, limit + miss, "max")
        assert limit + miss <= upper * (1 + 1e-9) and upper - (limit + miss) <= miss * 0.51
        lower = loosen(limit, limit - miss, "min")
        assert lower <= limit - miss + abs(miss) * 1e-4 and (limit - miss) - lower <= miss * 0.51


def test_size_miss_names_the_limit_and_a_technique(pushed: ReportData) -> None:
    gate = gate_with(size={"of": "gzip", "max_ratio": 0.2})
    data = data_of(
        pushed,
        gate,
        int8=verdict([CONVERT], 0.979, 250_000, 225_000, 0.1, gate),
        pruned_int8=verdict([PRUNE, CONVERT], 0.978, 250_000, 90_000, 0.1, gate),
    )
    (found,) = advise(data)
    assert found.name == "int8"
    assert found.sentences == (
        "int8 missed size.max_ratio 0.2 by 0.05: raise it to 0.25, or add prune before "
        "(pruned-int8 has 0.100 × in this run)",
    )


def test_a_file_limit_is_not_said_to_be_met_by_pruning(pushed: ReportData) -> None:
    gate = gate_with(size={"of": "file", "max_ratio": 0.2})
    (found,) = advise(data_of(pushed, gate, int8=verdict([CONVERT], 0.979, 252_000, 225_000, 0.1, gate)))
    assert found.sentences == (
        "int8 missed size.max_ratio 0.2 by 0.052: raise it to 0.26, or distill a smaller student (zeros "
        "and shared values only make the compressed file smaller) or remove channels with prune_channels; or "
        "judge size: {of: gzip}, which is 0.250 × the baseline's now",
    )


def test_latency_within_its_interval_asks_for_more_repetitions(pushed: ReportData) -> None:
    gate = gate_with()
    (found,) = advise(data_of(pushed, gate, int8=verdict([CONVERT], 0.979, 250_000, 220_000, 0.198, gate)))
    assert found.sentences == (
        "int8 missed latency.max_ratio 1 by 0.0197: raise it to 1.02, or raise latency.repetitions above 200: "
        "the ratio itself is 0.990, and only the upper end of its interval is beyond the limit",
    )


def test_slow_quantization_is_to_be_replaced(pushed: ReportData) -> None:
    gate = gate_with()
    slow = {**CONVERT, "quantization": "int16x8"}
    (found,) = advise(data_of(pushed, gate, slow=verdict([slow], 0.979, 250_000, 220_000, 1.4, gate)))
    assert found.sentences[0].endswith(
        "which is too far for a looser limit: convert with quantization int8 or dynamic in place of int16x8"
    )


def test_of_many_slices_the_worst_is_named_with_its_limit(pushed: ReportData) -> None:
    slices = {"label=0": 0.955, "label=1": 0.95, "label=2": 0.98}
    student = verdict([DISTILL, CONVERT], 0.979, 9_000, 6_000, 0.02, slices=slices)
    (found,) = advise(data_of(pushed, GATE, student=student))
    assert len(found.misses) == 2
    assert found.sentences == (
        "student missed accuracy.slices.0.max_drop 0.02 by 0.01 at label=1: raise it to 0.03, or give the student "
        "more layers or units, or distill for more than 3 epochs",
    )


def test_the_nearest_candidate_comes_first_and_what_failed_comes_last(pushed: ReportData) -> None:
    gate = gate_with()
    near = verdict([CONVERT], 0.9745, 250_000, 220_000, 0.1, gate)
    far = verdict([CONVERT], 0.9, 250_000, 220_000, 0.1, gate)
    failure = Failure(FailureKind.CANDIDATE_NOT_LOADED, "loading the candidate failed: no such operator")
    broken = verdict([CONVERT], 0.979, 1, 1, 0.1, gate, failures=[failure])
    found = advise(data_of(pushed, gate, broken=broken, far=far, near=near))
    assert [advice.name for advice in found] == ["near", "far", "broken"]
    assert found[0].distance == pytest.approx(0.1) and found[2].distance == math.inf
    assert (
        found[2]
        .sentences[0]
        .startswith("loading the candidate failed: no such operator. Convert without sparse")
    )


def test_a_baseline_at_chance_is_trained_again_or_allowed(pushed: ReportData) -> None:
    failure = Failure(FailureKind.BASELINE_AT_CHANCE, "the baseline has learnt nothing")
    found = verdict([CONVERT], 0.979, 1, 1, 0.1, gate_with(), failures=[failure])
    (advice,) = advise(data_of(pushed, gate_with(), weak=found))
    assert advice.sentences[0].startswith("the baseline has learnt nothing. Train the baseline longer")
    assert "allow_weak_baseline: true under gate.accuracy" in advice.sentences[0]


def test_a_lost_invariant_is_not_a_limit_to_loosen(pushed: ReportData) -> None:
    lost = verdict([PRUNE, CONVERT], 0.979, 250_000, 220_000, 0.1)
    reason = "sparsity of dense is 0.4 in the file, 0.8 asked for"
    figure = Figure("sparsity[dense]", Kind.INVARIANT, aspect="sparsity", layer="dense")
    missed = Judgement.on(figure, "min", 0.8, 0.4, reason, FailureKind.BEYOND_LIMIT)
    lost = conclude([*lost.judgements, missed], lost.measured)
    (found,) = advise(data_of(pushed, GATE, pruned=lost))
    assert found.sentences == (
        f"{reason}: a step of prune → convert undid the effect of an earlier one; leave the layer out "
        "with `exclude`",
    )
    assert found.misses == (missed,)


@pytest.mark.parametrize(
    ("figure", "cause"),
    [
        (served.FEATURES, "`preprocessing_fn` computes different features for a raw example"),
        (served.FILE, "`preprocessing_fn` computes different features for a raw example"),
        (served.MODEL, "the SavedModel that is pushed beside the file"),
    ],
)
def test_served_skew_is_not_a_lost_invariant(pushed: ReportData, figure: Figure, cause: str) -> None:
    skewed = verdict([PRUNE, CONVERT], 0.979, 250_000, 220_000, 0.1)
    (missed,) = judge_figure(figure, {"max": 0.0}, 3.0, None, ascending=False)
    skewed = conclude([*skewed.judgements, missed], skewed.measured)
    (found,) = advise(data_of(pushed, GATE, pruned=skewed))
    (sentence,) = found.sentences
    assert sentence.startswith(f"{missed.reason}: {cause}")
    assert "exclude" not in sentence and "lost" not in sentence


def test_gate_ranges_are_of_this_runs_baseline(pushed: ReportData) -> None:
    assert gate_range(pushed, "accuracy") == (pytest.approx(0.975), None)
    assert gate_range(pushed, "file") == (None, pytest.approx(0.3 * BASELINE["file"]))
    assert gate_range(pushed, "gzip") == (None, None)
    assert gate_range(pushed, "latency") == (None, pytest.approx(1.0))


def test_a_failed_run_says_what_is_cached(tmp_path: Path) -> None:
    made = MadeRun(tmp_path)
    first = made.prepare()
    reads = {"base_model": first["trained"], "examples": first["examples"]}
    made.node("prune", "components.pruner.component.Pruner", reads, {}, state=State.FAILED)
    run = made.finish("failed", 3, failed_node="prune", reason="ValueError: no layer matches conv*")
    sentences = after_failure(collect(made.reader, run))
    assert sentences[0].startswith("`paredown explain /configs/small.yaml` shows what each step would do")
    assert sentences[1] == (
        "Fix the problem and run `paredown run /configs/small.yaml` again: the 4 finished nodes are cached."
    )


@pytest.mark.parametrize(
    ("cause", "part"),
    [
        ("changed_file", "its node will make it again"),
        ("refused_write", "`paredown gc /configs/small.yaml`"),
    ],
)
def test_a_run_that_a_damaged_file_or_a_full_disk_ended_says_so(
    tmp_path: Path, cause: str, part: str
) -> None:
    made = MadeRun(tmp_path)
    first = made.prepare()
    reads = {"base_model": first["trained"], "examples": first["examples"]}
    made.node("prune", "components.pruner.component.Pruner", reads, {}, state=State.FAILED)
    run = made.finish("failed", 3, failed_node="prune", reason="a was changed", cause=cause)
    assert run.cause == FailureCause(cause)
    hint, again = after_failure(collect(made.reader, run))
    assert part in hint and "explain" not in hint
    assert again.startswith("Then run `paredown run /configs/small.yaml` again: the 4 finished nodes")
