"""The order of classes that are text."""

from __future__ import annotations

import pytest

from components.common.base.class_order import in_order


@pytest.mark.parametrize(
    ("names", "order"),
    [
        ({"10", "2", "1", "0"}, ["0", "1", "2", "10"]),
        ({"1", "-1", "+3"}, ["-1", "1", "+3"]),
        ({"c10", "c2"}, ["c10", "c2"]),
        ({"2", "10", "other"}, ["10", "2", "other"]),
        ({"é", "b", "B"}, ["B", "b", "é"]),
        ({"1.5", "10"}, ["1.5", "10"]),
    ],
)
def test_whole_numbers_are_in_the_order_of_their_values(names: set[str], order: list[str]) -> None:
    assert in_order(names) == order
