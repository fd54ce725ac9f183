"""Rows of Parquet files as examples."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from components.parquet_example_gen.executor import RowError, to_example


@pytest.mark.parametrize(
    ("value", "kind", "values"),
    [
        (0, "int64_list", [0]),
        (-(2**63), "int64_list", [-(2**63)]),
        (False, "int64_list", [0]),
        (True, "int64_list", [1]),
        (0.0, "float_list", [0.0]),
        (1.5, "float_list", [1.5]),
        ("", "bytes_list", [b""]),
        ("Zürich", "bytes_list", ["Zürich".encode()]),
        (b"\xff\x00", "bytes_list", [b"\xff\x00"]),
        ([0, 1, 0], "int64_list", [0, 1, 0]),
        ([0.0, 2.0], "float_list", [0.0, 2.0]),
        (["a", ""], "bytes_list", [b"a", b""]),
        (None, None, []),
        ([], None, []),
    ],
)
def test_a_value_is_kept_and_nothing_but_none_is_missing(
    value: Any, kind: str | None, values: list
) -> None:
    feature = to_example({"x": value}).features.feature["x"]
    assert feature.WhichOneof("kind") == kind
    assert list(getattr(feature, kind).value if kind else []) == values


@pytest.mark.parametrize("value", [datetime.date(2026, 1, 1), {"a": 1}, [[1]]])
def test_other_types_are_refused(value: Any) -> None:
    with pytest.raises(RowError, match="column 'x' holds values of type"):
        to_example({"x": value})


def test_lists_with_gaps_are_refused() -> None:
    with pytest.raises(RowError, match="column 'x' has a list with a null in it"):
        to_example({"x": [1, None]})


def test_executor_of_tfx_takes_zeros_for_missing_values() -> None:
    """The reason for our own; if this fails, TFX has fixed its executor."""
    from tfx.components.example_gen import utils

    features = utils.dict_to_example({"zero": 0, "one": 1}).features.feature
    assert features["zero"].WhichOneof("kind") is None
    assert list(features["one"].int64_list.value) == [1]
