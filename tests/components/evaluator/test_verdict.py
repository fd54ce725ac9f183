"""Limits, held against figures."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from components.evaluator.judgement import (
    Failure,
    FailureKind,
    Figure,
    Judgement,
    Kind,
    latency_figure,
    size_figure,
)
from components.evaluator.judging import conclude, far_ends, judge_figure
from components.measurer.comparison import Interval, Uncertainty
from components.measurer.measured import Measured, Skew

SIZE, GZIP, LATENCY = size_figure("file"), size_figure("gzip"), latency_figure(50)
ERROR = Figure("accuracy", Kind.ACCURACY)


def judged(bounds: dict[str, float], candidate: Any, baseline: Any = 1.0, **options: Any) -> Judgement:
    options.setdefault("ascending", True)
    (judgement,) = judge_figure(Figure("accuracy", Kind.ACCURACY), bounds, candidate, baseline, **options)
    return judgement


@pytest.mark.parametrize(
    ("bounds", "candidate", "baseline", "ascending", "value", "met"),
    [
        pytest.param({"min": 0.9}, 0.9, 1.0, True, 0.9, True, id="min met exactly"),
        pytest.param({"min": 0.9}, 0.8999, 1.0, True, 0.8999, False, id="below min"),
        pytest.param({"max": 5.0}, 5.0, 1.0, False, 5.0, True, id="max met exactly"),
        pytest.param({"max": 5.0}, 5.01, 1.0, False, 5.01, False, id="above max"),
        pytest.param({"max_drop": 0.005}, 0.985, 0.99, True, 0.005, True, id="drop met exactly"),
        pytest.param({"max_drop": 0.005}, 0.9849, 0.99, True, 0.0051, False, id="drop too large"),
        pytest.param({"max_drop": 0.0}, 0.991, 0.99, True, -0.001, True, id="better is not a drop"),
        pytest.param({"max_drop": 0.5}, 2.4, 2.0, False, 0.4, True, id="an error may rise so far"),
        pytest.param({"max_drop": 0.5}, 2.6, 2.0, False, 0.6, False, id="an error may not rise further"),
        pytest.param({"max_ratio": 0.3}, 30.0, 100.0, False, 0.3, True, id="ratio met exactly"),
        pytest.param({"max_ratio": 0.3}, 31.0, 100.0, False, 0.31, False, id="ratio too large"),
    ],
)
def test_bounds(
    bounds: dict[str, float], candidate: float, baseline: float, ascending: bool, value: float, met: bool
) -> None:
    judgement = judged(bounds, candidate, baseline, ascending=ascending)
    assert judgement.value == pytest.approx(value)
    assert judgement.met is met
    assert bool(judgement.reason) is not met


@pytest.mark.parametrize("bound", ["min", "max", "max_drop", "max_ratio"])
@pytest.mark.parametrize(
    ("candidate", "text"), [(None, "accuracy was not measured"), (math.nan, "nan"), (math.inf, "inf")]
)
def test_what_is_not_a_number_meets_nothing(bound: str, candidate: float | None, text: str) -> None:
    judgement = judged({bound: 1e9 if bound != "min" else -1e9}, candidate)
    assert not judgement.met
    assert judgement.value is None
    assert text in judgement.reason


@pytest.mark.parametrize("bound", ["max_drop", "max_ratio"])
@pytest.mark.parametrize(("baseline", "text"), [(None, "baseline's was not measured"), (math.nan, "nan")])
def test_nothing_is_compared_with_a_baseline_that_is_not_there(
    bound: str, baseline: float | None, text: str
) -> None:
    judgement = judged({bound: 1e9}, 0.9, baseline)
    assert not judgement.met
    assert text in judgement.reason


def test_a_ratio_on_a_baseline_of_zero_is_not_met() -> None:
    assert not judged({"max_ratio": 1e9}, 0.1, 0.0).met


def test_an_uncertain_ratio_is_judged_by_what_is_given() -> None:
    assert not judged({"max_ratio": 1.0}, 0.9, 1.0, ratio=Interval(0.8, 1.02), ascending=False).met
    assert judged({"max_ratio": 1.0}, 0.9, 1.0, ratio=Interval(0.85, 0.95), ascending=False).met
    assert not judged({"min_ratio": 0.9}, 0.9, 1.0, ratio=Interval(0.85, 0.95), ascending=True).met
    assert judged({"min_ratio": 0.85}, 0.9, 1.0, ratio=Interval(0.85, 0.95), ascending=True).met


UNCERTAINTY = Uncertainty(0.95, 1000, Interval(0.97, 0.99), Interval(-0.012, 0.002), Interval(0.98, 1.01))


@pytest.mark.parametrize(
    ("bounds", "ascending", "value"),
    [
        ({"min": 0.975}, True, 0.97),
        ({"max": 0.985}, False, 0.99),
        ({"max_drop": 0.01}, True, 0.012),
        ({"max_drop": 0.001}, False, 0.002),
        ({"max_ratio": 1.0}, False, 1.01),
    ],
)
def test_a_limit_with_confidence_holds_the_far_end_of_the_interval(
    bounds: dict[str, float], ascending: bool, value: float
) -> None:
    far = far_ends(0.95, UNCERTAINTY, ascending)
    judgement = judged(bounds, 0.98, 0.985, ascending=ascending, far=far)
    assert (judgement.value, judgement.confidence) == (value, 0.95)
    assert not judgement.met and judgement.failure is FailureKind.BEYOND_LIMIT
    assert "the unfavourable end of its 95% interval" in judgement.reason
    itself = judged(bounds, 0.98, 0.985, ascending=ascending)
    assert itself.met and itself.confidence is None
    assert judgement.estimate == itself.value
    again = Judgement(**vars(judgement))
    assert again == judgement


@pytest.mark.parametrize(
    ("uncertainty", "why"),
    [
        (None, "accuracy has no interval: AUC is too slow"),
        (
            Uncertainty(0.95, 200, Interval(None, None), Interval(None, None)),
            "not defined on some resamples",
        ),
    ],
)
def test_what_has_no_interval_meets_no_limit_with_confidence(
    uncertainty: Uncertainty | None, why: str
) -> None:
    far = far_ends(0.95, uncertainty, True, "AUC is too slow")
    judgement = judged({"max_drop": 1.0}, 0.98, 0.985, far=far)
    assert (judgement.value, judgement.met, judgement.failure) == (None, False, FailureKind.NO_INTERVAL)
    assert why in judgement.reason


def test_a_reason_distinguishes_close_numbers() -> None:
    assert judged({"min": 0.97}, 0.96999).reason == "accuracy 0.96999 is below 0.97"


@pytest.mark.parametrize(
    ("figure", "bounds", "candidate", "baseline", "reason"),
    [
        (SIZE, {"max": 30_000}, 33_784, 1e6, "size 33.8 kB is above 30.0 kB"),
        (SIZE, {"max": 30_000}, 30_020, 1e6, "size 30,020 B is above 30 kB"),
        (SIZE, {"min": 512}, 500, 1e6, "size 500 B is below 512 B"),
        (
            SIZE,
            {"max_drop": 10_000},
            120_000,
            1e5,
            "size is 20.0 kB worse than the baseline, 10.0 kB allowed",
        ),
        (SIZE, {"max_ratio": 0.3}, 500_000, 1e6, "size is 0.5 × the baseline's, 0.3 × allowed"),
        (GZIP, {"max": 2.5e6}, 3_100_000, 1e7, "gzip size 3.1 MB is above 2.5 MB"),
        (LATENCY, {"max": 20}, 20.5, 1.0, "p50 latency 20.50 ms is above 20.00 ms"),
        (LATENCY, {"max": 0.05}, 0.061, 1.0, "p50 latency 61 µs is above 50 µs"),
        (LATENCY, {"max": 20}, 20.001, 1.0, "p50 latency 20.001 ms is above 20 ms"),
        (
            LATENCY,
            {"max_drop": 1},
            4.5,
            2.0,
            "p50 latency is 2.50 ms worse than the baseline, 1.00 ms allowed",
        ),
        (ERROR, {"max": 10_000}, 123_456, 1.0, "accuracy 123456 is above 10000"),
        (ERROR, {"max": 20_000.5}, 123_456.25, 1.0, "accuracy 123456 is above 20000"),
    ],
)
def test_reasons_are_in_the_units_of_people(
    figure: Figure, bounds: dict[str, float], candidate: float, baseline: float, reason: str
) -> None:
    (judgement,) = judge_figure(figure, bounds, candidate, baseline, ascending=False)
    assert judgement.reason == reason
    assert judgement.texts()[0] in reason and judgement.texts()[1] in reason


def test_a_value_that_a_tolerance_lets_pass_says_so() -> None:
    figure = Figure("sparsity[conv]", Kind.INVARIANT, aspect="sparsity", layer="conv")
    passed = Judgement.on(figure, "min", 0.6, 0.5996, tolerance=0.005)
    assert passed.met and passed.texts() == ("0.5996", "0.6 (tolerance 0.005)")
    assert Judgement.on(figure, "min", 0.6, 0.61, tolerance=0.005).texts() == ("0.61", "0.6")
    assert Judgement.on(figure, "min", 0.6, 0.6).texts() == ("0.6", "0.6")
    failed = Judgement.on(figure, "min", 0.6, 0.59, "no", FailureKind.BEYOND_LIMIT, tolerance=0.005)
    assert failed.texts() == ("0.59", "0.6")
    assert Judgement.on(figure, "type", None, None).texts() == ("", "")
    assert Judgement.on(size_figure("file"), "max", 3e4, None).texts() == ("–", "30.0 kB")


def test_unset_bounds_are_not_limits() -> None:
    bounds = {"min": None, "max": 3, "max_drop": None, "max_ratio": None}
    assert [j.bound for j in judge_figure(size_figure("file"), bounds, 2, 2, False)] == ["max"]


def test_one_unmet_limit_is_enough() -> None:
    good, bad = judged({"min": 0.5}, 0.9), judged({"min": 0.95}, 0.9)
    assert conclude([good]).blessed
    verdict = conclude([good, bad])
    assert not verdict.blessed
    assert verdict.reasons == ("accuracy 0.9 is below 0.95",)


def test_a_failure_comes_first_and_is_enough() -> None:
    verdict = conclude(
        [judged({"min": 0.5}, 0.9)],
        failures=[Failure(FailureKind.CANDIDATE_NOT_LOADED, "loading the candidate failed")],
    )
    assert not verdict.blessed
    assert verdict.reasons[0] == "loading the candidate failed"


def test_without_limits_there_is_no_blessing() -> None:
    verdict = conclude([])
    assert not verdict.blessed
    assert verdict.reasons == ("no limit was judged",)
    assert [failure.kind for failure in verdict.failures] == [FailureKind.NOTHING_JUDGED]


def test_json_has_null_for_what_json_has_no_number_for() -> None:
    skew = Skew(1, 0, 0, 1, math.nan, math.inf, 0.0, 0.0)
    verdict = conclude([judged({"min": 0.5}, math.nan)], Measured(served=skew))
    text = json.dumps(verdict.to_json(), allow_nan=False)
    served = json.loads(text)["measured"]["served"]
    assert (served["file_error"], served["model_error"], served["examples"]) == (None, None, 1)


@pytest.mark.parametrize(
    ("bounds", "candidate", "baseline", "failure"),
    [
        ({"min": 0.9}, 0.8, 1.0, FailureKind.BEYOND_LIMIT),
        ({"min": 0.9}, None, 1.0, FailureKind.NOT_MEASURED),
        ({"min": 0.9}, math.nan, 1.0, FailureKind.NOT_FINITE),
        ({"max_drop": 0.9}, 0.8, None, FailureKind.NO_BASELINE),
        ({"min": 0.9}, 0.9, None, None),
    ],
)
def test_a_judgement_says_why_it_is_not_met(
    bounds: dict[Any, float], candidate: Any, baseline: Any, failure: FailureKind | None
) -> None:
    judgement = judged(bounds, candidate, baseline, section="gate.accuracy.1")
    assert judgement.failure is failure
    assert judgement.key == f"gate.accuracy.1.{judgement.bound}"
