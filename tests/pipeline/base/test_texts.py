"""Figures as people read them, and lists of names."""

from __future__ import annotations

import pytest

from components.common.base.texts import listed
from pipeline.base.texts import clock_text, count_text, duration_text, left_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (60, "1 min 00 s"),
        (661, "11 min 01 s"),
        (3599.6, "1 h 00 min"),
        (3 * 3600 + 125, "3 h 02 min"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float | None, text: str) -> None:
    assert duration_text(seconds) == text


def test_a_clock_counts_minutes_and_seconds() -> None:
    assert [clock_text(seconds) for seconds in (0, 9.9, 61, 7267)] == ["0:00", "0:09", "1:01", "121:07"]


def test_counts_have_their_noun_in_the_right_number() -> None:
    assert [count_text(n, "folder") for n in (0, 1, 1200)] == ["0 folders", "1 folder", "1,200 folders"]


def test_a_long_list_says_how_many_more_there_are() -> None:
    assert [listed(list("abcd")[:n], 2) for n in (0, 2, 4)] == ["", "a, b", "a, b and 2 more"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "<10 s left"),
        (12, "10 s left"),
        (99, "100 s left"),
        (100, "2 min left"),
        (59 * 60, "59 min left"),
        (3_590, "1 h 00 min left"),
        (2 * 3_600 + 130, "2 h 02 min left"),
    ],
)
def test_what_is_left_is_as_rough_as_it_is_known(seconds: float, text: str) -> None:
    assert left_text(seconds) == text
