"""Limits with `confidence` hold for a whole interval: the far end decides for every value in it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from components.common.base.limit_bounds import BOUNDS, LimitBound
from components.evaluator.judgement import FailureKind, Figure, Kind
from components.evaluator.judging import FarEnds, far_ends, judge_figure
from components.measurer.comparison import Interval, Uncertainty

FIGURE = Figure("accuracy", Kind.ACCURACY, metric="MeanSquaredError")
# Far coarser than the twelfth digit, to which drops are rounded.
values = st.integers(-3_000, 3_000).map(lambda thousandths: thousandths / 1000)


def judge(
    bound: LimitBound,
    limit: float,
    candidate: float,
    ascending: bool,
    far: FarEnds | None = None,
    baseline: float = 1.0,
) -> bool:
    (found,) = judge_figure(FIGURE, {bound: limit}, candidate, baseline, ascending, far=far)
    return found.met


@given(values, values, st.sampled_from(BOUNDS), values, st.booleans(), st.integers(0, 10))
def test_what_meets_a_limit_with_confidence_meets_it_anywhere_in_the_interval(
    one: float, other: float, bound: LimitBound, limit: float, ascending: bool, tenths: int
) -> None:
    low, high = sorted((one, other))
    inside = min(low + (high - low) * tenths / 10, high)  # rounding may lead beyond the end
    # The baseline is 1: a ratio is the candidate's value, and a difference is that less 1.
    whole = Interval(low, high)
    uncertainty = Uncertainty(0.95, 1000, whole, Interval(round(low - 1, 3), round(high - 1, 3)), whole)
    far = far_ends(0.95, uncertainty, ascending)

    whole_meets = judge(bound, limit, inside, ascending, far)
    each_meets = [judge(bound, limit, value, ascending) for value in (low, inside, high)]

    assert whole_meets == (each_meets[0] and each_meets[2])
    assert each_meets[1] or not whole_meets


@given(st.none() | values, st.none() | values, st.booleans())
def test_a_drop_is_the_difference_seen_from_the_baseline(
    low: float | None, high: float | None, ascending: bool
) -> None:
    found = Uncertainty(0.95, 1000, Interval(0, 1), Interval(low, high)).drop(ascending)

    assert (found.low, found.high) == (
        (None if high is None else -high, None if low is None else -low) if ascending else (low, high)
    )


@given(st.sampled_from(BOUNDS), values, st.booleans())
def test_an_end_that_is_not_known_meets_no_limit(bound: LimitBound, limit: float, ascending: bool) -> None:
    unknown = Interval(None, None)
    far = far_ends(0.95, Uncertainty(0.95, 1000, unknown, unknown, None), ascending)
    (found,) = judge_figure(FIGURE, {bound: limit}, 0.5, 1.0, ascending, far=far)

    assert not found.met
    assert found.failure is FailureKind.NO_INTERVAL
