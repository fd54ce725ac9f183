"""Figures as people read and write them."""

from __future__ import annotations

import pytest

from components.common.base.quantities import (
    bytes_text,
    distinct,
    exact_bytes_text,
    number_text,
    pair,
    time_text,
)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "–"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (653_244, "653.2 kB"),
        (3_253_528, "3.3 MB"),
        (-20_000, "-20.0 kB"),
    ],
)
def test_bytes_as_people_read_them(count: int | None, text: str) -> None:
    assert bytes_text(count) == text


def test_bytes_as_a_config_has_them() -> None:
    assert [exact_bytes_text(count) for count in (34_000, 34_100, 34_123, 2_500_000, 900)] == [
        "34 kB", "34.1 kB", "34,123 B", "2.5 MB", "900 B"
    ]  # fmt: skip


def test_times_as_people_read_them() -> None:
    assert [time_text(ms) for ms in (None, 0.0364, 1.5, -0.5)] == ["–", "36 µs", "1.50 ms", "-500 µs"]


def test_numbers_have_no_exponent_unless_they_are_tiny() -> None:
    assert [number_text(value) for value in (None, 0.97123, 9_999, 12_345.6, 1e7, 1e-6)] == [
        "–", "0.9712", "9999", "12346", "10000000", "1e-06"
    ]  # fmt: skip
    assert number_text(0.99999, 6) == "0.99999"


def test_numbers_that_differ_have_texts_that_differ() -> None:
    assert distinct(0.97499999, 0.975) == ("0.97499999", "0.975")
    assert distinct(123_456.25, 20_000.5) == ("123456", "20000")
    assert distinct(0.1 + 0.2, 0.3) == ("0.30000000000000004", "0.29999999999999999")
    assert pair(30_020, 30_000, [bytes_text, exact_bytes_text], "B") == ("30,020 B", "30 kB")
    assert pair(5, 5, [time_text], "ms") == ("5.00 ms", "5.00 ms")
