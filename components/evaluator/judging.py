"""Judging measured figures by limits. What is not measured is not met."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from components.common.base.limit_bounds import BOUNDS, LimitBound, compared, meets
from components.evaluator.judgement import (
    RATIOS,
    Failure,
    FailureKind,
    Figure,
    Judgement,
    Kind,
    amounts,
)
from components.evaluator.verdict import Verdict
from components.measurer.comparison import Interval, Uncertainty
from components.measurer.measured import Measured


@dataclass(frozen=True)
class FarEnds:
    """The ends of intervals that limits hold instead of the figure itself.

    Attributes:
        confidence: The intervals' level.
        ends: Bound → the end that is nearer to missing it; None if it is not known.
        why: Why they are not known, for people.
    """

    confidence: float
    ends: Mapping[LimitBound, float | None]
    why: str = ""


def far_ends(confidence: float, uncertainty: Uncertainty | None, ascending: bool, why: str = "") -> FarEnds:
    """The unfavourable ends of a metric's intervals.

    Args:
        confidence: Their level.
        uncertainty: The intervals; None if there are none.
        ascending: Whether a higher value of the metric is better.
        why: Why there are none.
    """
    if uncertainty is None or uncertainty.confidence != confidence:
        return FarEnds(confidence, {}, why or "it was measured without intervals")
    return FarEnds(
        confidence,
        {
            "min": uncertainty.candidate.low,
            "max": uncertainty.candidate.high,
            "max_drop": uncertainty.drop(ascending).high,
            "max_ratio": uncertainty.ratio.high if uncertainty.ratio else None,
            "min_ratio": uncertainty.ratio.low if uncertainty.ratio else None,
        },
        "the metric is not defined on some resamples of the examples",
    )


def judge_figure(
    figure: Figure,
    limits: Mapping[LimitBound, float | None] | Mapping[LimitBound, float],
    candidate: float | None,
    baseline: float | None,
    ascending: bool,
    ratio: Interval | None = None,
    shown: str = "",
    section: str = "",
    far: FarEnds | None = None,
) -> list[Judgement]:
    """Compares one figure with its limits.

    Args:
        figure: What the limits are on.
        limits: Bound → limit; None is not a limit.
        candidate: The candidate's value; None if it was not measured.
        baseline: The baseline's.
        ascending: Whether higher is better, which decides what a drop is.
        ratio: Interval of candidate / baseline, if that is uncertain; limits on it hold the unfavourable end.
        shown: The figure's name in that text, if it is another.
        section: The config section that has the limits, `gate.size`.
        far: What limits hold instead of the figure itself; None if they hold that.

    Returns:
        A judgement for each limit that is set.
    """
    judgements = []
    for bound in BOUNDS:
        limit = limits.get(bound)
        if limit is None:
            continue
        value = estimate = _value(bound, candidate, baseline, ascending, ratio)
        if far is not None and value is not None:
            end = far.ends.get(bound)
            value = None if end is None else round(end, 12)
        met = meets(bound, value, limit)
        name = shown or figure.figure
        failure: FailureKind | None = None
        reason = ""
        if not met and far is not None and value is None and estimate is not None:
            failure, reason = FailureKind.NO_INTERVAL, f"{name} has no interval: {far.why}"
        elif not met:
            failure, reason = _failure(name, figure.kind, bound, limit, value, candidate, baseline)
            if far is not None and value is not None and estimate is not None:
                reason += (
                    f" (the unfavourable end of its {far.confidence:.0%} interval; measured {estimate:.4g})"
                )
        key = f"{section}.{bound}" if section else ""
        judgements.append(
            Judgement.on(
                figure,
                bound,
                limit,
                value,
                reason,
                failure,
                key,
                far.confidence if far else None,
                estimate if far else None,
            )
        )
    return judgements


def _value(
    bound: LimitBound,
    candidate: float | None,
    baseline: float | None,
    ascending: bool,
    ratio: Interval | None,
) -> float | None:
    """The value that a bound is compared with; None if it is not known."""
    if ratio is None or bound not in RATIOS:
        return compared(bound, candidate, baseline, ascending)
    known = all(value is not None and math.isfinite(value) for value in (candidate, baseline))
    end = ratio.low if bound == "min_ratio" else ratio.high
    return end if known and end is not None and math.isfinite(end) else None


def _failure(
    figure: str,
    kind: Kind,
    bound: LimitBound,
    limit: float,
    value: float | None,
    candidate: float | None,
    baseline: float | None,
) -> tuple[FailureKind, str]:
    """Why a limit is not met, and the same for people."""
    if candidate is None:
        return FailureKind.NOT_MEASURED, f"{figure} was not measured"
    if not math.isfinite(candidate):
        return FailureKind.NOT_FINITE, f"{figure} is {candidate}"
    if value is None:
        what = "was not measured" if baseline is None else f"is {baseline:g}"
        return FailureKind.NO_BASELINE, f"{figure} cannot be compared: the baseline's {what}"
    shown, bounded = amounts(kind, bound, value, limit)
    return (
        FailureKind.BEYOND_LIMIT,
        {
            "min": f"{figure} {shown} is below {bounded}",
            "max": f"{figure} {shown} is above {bounded}",
            "max_drop": f"{figure} is {shown} worse than the baseline, {bounded} allowed",
            "max_ratio": f"{figure} is {shown} × the baseline's, {bounded} × allowed",
            "min_ratio": f"{figure} is {shown} × the baseline's, {bounded} × required",
        }[bound],
    )


def conclude(
    judgements: Iterable[Judgement], measured: Measured | None = None, failures: Iterable[Failure] = ()
) -> Verdict:
    """The verdict on a candidate.

    Args:
        judgements: Every limit.
        measured: The figures.
        failures: What could not be done at all; any makes the candidate fail.
    """
    judgements, failures = tuple(judgements), tuple(failures)
    if not judgements and not failures:
        failures = (Failure(FailureKind.NOTHING_JUDGED, "no limit was judged"),)
    unmet = [judgement for judgement in judgements if not judgement.met]
    reasons = tuple(failure.reason for failure in failures) + tuple(j.reason for j in unmet)
    return Verdict(not failures and not unmet, reasons, judgements, measured or Measured(), failures)
