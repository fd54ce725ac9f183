"""The rows of CSV and Parquet files before a run. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from components.common.base.label import places
from components.common.base.near_names import nearest
from pipeline.checks import csv_table
from pipeline.checks.odd_cells import OddCells
from pipeline.checks.table import EMPTY, FLOAT, INTEGER, TEXT, Column, Table
from pipeline.config.data_options import TRAINED_SPLIT, Data
from pipeline.config.problem import Location, Problem
from pipeline.plan import data_files
from pipeline.plan.data_files import HASHED_SPLIT

FORMATS = ("csv", "parquet")


def read(data: Data, whole: bool) -> dict[str, Table]:
    """Input split → its files as one table.

    Args:
        data: The section.
        whole: Whether to read all rows; if not, only names of columns are read.
    """
    folder = Path(data.path).absolute()
    if data.format == "parquet":
        from pipeline.checks import parquet_table

        return {split: parquet_table.read(paths, folder, whole) for split, paths in _files(data)}
    missing = data.missing_spellings()
    return {split: csv_table.read(paths, folder, whole, missing) for split, paths in _files(data)}


def _files(data: Data) -> list[tuple[str, list[Path]]]:
    return list(data_files.files(data).items())


def features(tables: dict[str, Table]) -> dict[str, int]:
    """Column → number of values in a training example."""
    return {name: column.values for name, column in _trained(tables).columns.items()}


def examples(data: Data, tables: dict[str, Table]) -> int | None:
    """Number of training examples, an estimate if a hash splits them; None if rows were not counted."""
    rows = _trained(tables).rows
    return round(rows * data.splits.trained_share) or None


def missing(tables: dict[str, Table]) -> dict[str, str]:
    """Column that lacks values → how many rows have none, in words."""
    found: dict[str, str] = {}
    for table in tables.values():
        for name, column in table.columns.items():
            if column.missing and name not in found:
                found[name] = (
                    f"no value in {column.missing:,} of {table.rows:,} rows, first {column.where_missing}"
                )
    return found


def ragged(tables: dict[str, Table]) -> dict[str, str]:
    """Column whose rows have different numbers of values → which ones, in words."""
    found: dict[str, str] = {}
    first = next(iter(tables.values())).columns
    for table in tables.values():
        for name, column in table.columns.items():
            known = first.get(name, column)
            if column.ragged:
                found.setdefault(name, column.ragged)
            elif known.where_values and column.where_values and known.values != column.values:
                here = f"{column.values} in {column.where_values}"
                found.setdefault(name, f"{known.values} values in {known.where_values}, and {here}")
    return found


def kinds(tables: dict[str, Table]) -> dict[str, str]:
    """Column → the type of its values, if it is known."""
    return {name: column.kind for name, column in _trained(tables).columns.items() if column.kind != EMPTY}


def odd_cells(tables: dict[str, Table]) -> dict[str, OddCells]:
    """Column that holds numbers and text → its text."""
    return {
        name: OddCells(column.numbers, column.texts, column.where_text, column.first_text)
        for name, column in _trained(tables).columns.items()
        if column.kind == TEXT and column.numbers
    }


def _trained(tables: dict[str, Table]) -> Table:
    return tables[HASHED_SPLIT if HASHED_SPLIT in tables else TRAINED_SPLIT]


def check(data: Data, tables: dict[str, Table], transforms: bool) -> Iterator[Problem]:
    """Problems that keep the tables from being read, and learned from, as intended.

    Args:
        data: The section.
        tables: As `read` returns them.
        transforms: Whether a preprocessing_fn makes other features of the columns.
    """
    for split, table in tables.items():
        at: Location = ("data", "splits", data_files.option_of(split))
        for fault in table.faults:
            yield Problem(fault, at)
    if any(table.faults for table in tables.values()):
        return  # what follows may follow from it
    yield from _differences(tables)
    yield from _hash_mistakes(data, tables)
    yield from _classes_of_numbers(data, tables, transforms)
    for within, label in places(data.label).items():
        columns = [table.columns.get(label) for table in tables.values()]
        if any(column is not None and column.missing for column in columns) and not transforms:
            yield Problem(
                f"{label!r} has {missing(tables)[label]}; remove them: nothing can be learnt from an example without "
                "a label",
                ("data", "label", *within),
            )


def _classes_of_numbers(data: Data, tables: dict[str, Table], transforms: bool) -> Iterator[Problem]:
    column = _trained(tables).columns.get(data.label) if isinstance(data.label, str) else None
    if (
        data.classes is not None
        and not all(isinstance(name, int) for name in data.classes)
        and column is not None
        and column.kind in (INTEGER, FLOAT)
        and not transforms
    ):
        yield Problem(
            f"are text, and {data.label!r} holds {column.kind}; remove classes to use them as they are, or write "
            "classes as numbers, e.g. [1, 2]",
            ("data", "classes"),
        )


def _differences(tables: dict[str, Table]) -> Iterator[Problem]:
    """Columns that one split has and another has not, or has with values of another kind."""
    splits = list(tables)
    for split in splits[1:]:
        at: Location = ("data", "splits", data_files.option_of(split))
        first, other = tables[splits[0]].columns, tables[split].columns
        train = f"the {splits[0]} split"
        for name in [name for name in first if name not in other]:
            yield Problem(f"its files have no column {name!r}, which those of {train} have", at)
        for name in [name for name in other if name not in first]:
            yield Problem(f"its files have a column {name!r}, which those of {train} do not have", at)
        for name in [name for name in first if name in other]:
            one, two = first[name], other[name]
            if EMPTY in (one.kind, two.kind) or one.kind == two.kind:
                continue
            text = two if two.kind == TEXT else one
            fix = "write them in one way, for example 1.0 for 1"
            if text.where_text:
                odd = OddCells(text.numbers, text.texts, text.where_text, text.first_text)
                fix = f"write them in one way: {odd.where} has {odd.shown()}; {odd.fix()}"
            yield Problem(
                f"the column {name!r} holds {two.kind}, and {one.kind} in {train}; TFX takes types from the "
                f"values, split by split, so {fix}",
                at,
            )


def _hash_mistakes(data: Data, tables: dict[str, Table]) -> Iterator[Problem]:
    name = data.splits.hash_by
    if name is None:
        return
    at: Location = ("data", "splits", "hash_by")
    columns = _trained(tables).columns
    column: Column | None = columns.get(name)
    if column is None:
        yield Problem(
            f"{name!r} is not a column of the data{nearest(name, list(columns))}; it has {sorted(columns)}",
            at,
        )
    elif column.kind == FLOAT:
        yield Problem(f"{name!r} holds floats, and TFX hashes integers and text; name another column", at)
    elif column.missing:
        yield Problem(
            f"{name!r} has {missing(tables)[name]}, which TFX cannot hash; name a column without gaps", at
        )
