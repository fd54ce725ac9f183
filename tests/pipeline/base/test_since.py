from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from pipeline.base.since import parse

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(14)),
    ],
)
def test_an_age_counts_from_now(text: str, age: timedelta) -> None:
    assert parse(text, NOW) == NOW - age


def test_a_time_with_an_offset_is_that_moment() -> None:
    assert parse("2026-11-22T14:00+02:00") == datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)
    assert parse("2026-11-22T14:00Z") == datetime(2026, 11, 22, 14, 0, tzinfo=timezone.utc)


def test_a_date_is_its_midnight_in_local_time() -> None:
    assert parse("2026-11-22") == datetime(2026, 11, 22).astimezone()


@pytest.mark.parametrize("text", ["", "x", "7", "7y", "yesterday", "-7d", "2026-13-01"])
def test_what_is_not_a_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"is not a time: write 2026-11-22, .* or an age such as 12h or 7d"
    ):
        parse(text)


def test_an_age_that_no_calendar_has_is_refused() -> None:
    with pytest.raises(ValueError, match="'999999w' is before the year 1: write a shorter age"):
        parse("999999w", NOW)
