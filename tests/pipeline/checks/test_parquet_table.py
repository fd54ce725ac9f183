"""Parquet files, looked at before a run."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.checks import parquet_table
from pipeline.checks.table import EMPTY, FLOAT, INTEGER, TEXT, Table


def read(root: Path, *tables: pa.Table, whole: bool = True) -> Table:
    paths = []
    for index, table in enumerate(tables):
        paths.append(root / f"part-{index}.parquet")
        pq.write_table(table, paths[-1], row_group_size=2)
    return parquet_table.read(paths, root, whole)


def test_rows_kinds_and_gaps(tmp_path: Path) -> None:
    table = read(
        tmp_path,
        pa.table(
            {
                "n": pa.array([1, 0, None], pa.int8()),
                "u": pa.array([1, 2, 2**63 - 1], pa.uint64()),
                "f": [0.0, float("nan"), 1.5],
                "s": pa.array(["a", None, ""]).dictionary_encode(),
                "b": [b"\xff", b"", b"x"],
                "flag": [True, False, None],
                "list": [[1.0, 2.0], [], None],
                "fixed": pa.array([[1, 2, 3]] * 3, pa.list_(pa.int32(), 3)),
                "none": pa.nulls(3),
            }
        ),
    )
    assert table.faults == []
    assert table.rows == 3
    assert {
        name: (column.kind, column.values, column.missing) for name, column in table.columns.items()
    } == {
        "n": (INTEGER, 1, 1),
        "u": (INTEGER, 1, 0),
        "f": (FLOAT, 1, 0),
        "s": (TEXT, 1, 1),
        "b": (TEXT, 1, 0),
        "flag": (INTEGER, 1, 1),
        "list": (FLOAT, 2, 2),
        "fixed": (INTEGER, 3, 0),
        "none": (EMPTY, 1, 3),
    }
    assert table.columns["n"].where_missing == "part-0.parquet, row 3"
    assert table.columns["list"].where_missing == "part-0.parquet, row 2"


@pytest.mark.parametrize(
    ("column", "fault"),
    [
        (pa.array([datetime.datetime(2026, 1, 1)]), "'x' is timestamp[us].*seconds since 1970"),
        (pa.array([datetime.date(2026, 1, 1)]), "'x' is date32"),
        (pa.array([Decimal("1.5")]), "'x' is decimal128"),
        (pa.array([{"a": 1}]), "'x' is struct<a: int64>"),
        (pa.array([[[1]]], pa.list_(pa.list_(pa.int64()))), "'x' is list<.*: list<.*: int64>>"),
        (pa.array([[1, None]]), "'x' has lists with a null in them"),
        (pa.array([2**63], pa.uint64()), "'x' holds 9223372036854775808, which does not fit into int64"),
    ],
)
def test_column_that_examples_cannot_hold(tmp_path: Path, column: pa.Array, fault: str) -> None:
    import re

    (found,) = read(tmp_path, pa.table({"x": column})).faults
    assert re.search(fault.replace("[", r"\[").replace("]", r"\]"), found), found


def test_files_of_a_split_have_the_same_columns(tmp_path: Path) -> None:
    one = pa.table({"a": [1], "b": ["x"]})
    (fault,) = read(tmp_path, one, pa.table({"a": [1]})).faults
    assert fault.startswith("part-1.parquet: has no column 'b', unlike part-0.parquet")
    (fault,) = read(tmp_path, one, pa.table({"a": [1.5], "b": ["x"]})).faults
    assert fault.startswith("part-1.parquet: the column 'a' holds floats, and integers in part-0.parquet")
    assert read(tmp_path, one, pa.table({"b": ["x"], "a": pa.array([3], pa.int16())})).faults == []


def test_a_split_without_rows_is_refused(tmp_path: Path) -> None:
    nothing = pa.table({"a": pa.array([], pa.int64())})
    assert read(tmp_path, nothing).faults == ["its files have no rows; write some, or change the pattern"]
    assert read(tmp_path, nothing, whole=False).faults == []
    assert read(tmp_path, nothing, pa.table({"a": [1]})).faults == []


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "part-0.parquet"
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    (fault,) = parquet_table.read([path], tmp_path, True).faults
    assert fault.startswith("part-0.parquet cannot be read as Parquet: ")
    values = np.random.default_rng(1).normal(size=20_000)
    pq.write_table(pa.table({"a": values}), path, compression="zstd", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)
    assert parquet_table.read([path], tmp_path, False).faults == []  # only the footer is looked at
    (fault,) = parquet_table.read([path], tmp_path, True).faults
    assert fault.startswith("part-0.parquet cannot be read as Parquet: ")


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    "values",
    [np.zeros(20_000_000, np.int8), pa.array(["x" * 1_000_000] * 200)],
    ids=["one value repeated", "long texts"],
)
def test_a_file_that_unpacks_to_far_more_is_refused_by_its_footer(
    tmp_path: Path, values: object, whole: bool
) -> None:
    path = tmp_path / "bomb.parquet"
    pq.write_table(
        pa.table({"a": values}), path, compression="zstd", use_dictionary=isinstance(values, np.ndarray)
    )
    assert path.stat().st_size < 200_000
    table = parquet_table.read([path], tmp_path, whole)
    (fault,) = table.faults[:1]
    assert fault.startswith(f"bomb.parquet: has {path.stat().st_size:,} bytes and would unpack to ")
    assert table.rows == 0


def test_a_large_table_that_compresses_well_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.parquet"
    pq.write_table(pa.table({"a": np.arange(2_000_000) % 7, "b": np.zeros(2_000_000)}), path)
    table = parquet_table.read([path], tmp_path, True)
    assert (table.faults, table.rows) == ([], 2_000_000)


@pytest.mark.parametrize("whole", [True, False])
def test_lists_have_as_many_values_as_the_first_row_with_some(tmp_path: Path, whole: bool) -> None:
    first = pa.table({"a": pa.array([None, [], [1, 2, 3]], pa.list_(pa.int64())), "b": [1, 2, 3]})
    table = read(tmp_path, first, whole=whole)
    assert {name: column.values for name, column in table.columns.items()} == {"a": 3, "b": 1}
    assert table.columns["a"].where_values == "part-0.parquet, row 3"


def test_lists_of_other_lengths_are_placed(tmp_path: Path) -> None:
    one = pa.table({"a": [[1.0, 2.0]] * 3})
    two = pa.table({"a": [[1.0, 2.0], [], [1.0, 2.0], [1.0], [1.0, 2.0, 3.0]]})
    table = read(tmp_path, one, two)
    assert table.columns["a"].ragged == "2 values in part-0.parquet, row 1, and 1 in part-1.parquet, row 4"
    assert read(tmp_path, one).columns["a"].ragged == ""
