"""Figures as people read them, and lists of names."""

from __future__ import annotations

import pytest

from components.common.base.texts import listed
from pipeline.base.texts import bytes_text, clock_text, count_text, duration_text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "–"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (653_244, "653.2 kB"),
        (3_253_528, "3.3 MB"),
    ],
)
def test_bytes_as_people_read_them(count: int | None, text: str) -> None:
    assert bytes_text(count) == text


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
