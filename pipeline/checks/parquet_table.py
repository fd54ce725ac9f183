"""Parquet files, read to see whether TFX can read them. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import types

from components.common.base import size_bounds
from pipeline.checks.table import EMPTY, FLOAT, INTEGER, MOST_FAULTS, TEXT, Column, Table

_MOST = 2**63 - 1
# Bytes of a value in memory.
_WIDTH = 8


class _Fault(Exception):
    """The rest of a file cannot be read."""


def read(paths: Iterable[Path], folder: Path, whole: bool) -> Table:
    """Reads the files of a split.

    Args:
        paths: The files.
        folder: What their names are shown from.
        whole: Whether to read all rows; if not, only types of columns are read.
    """
    table = Table()
    first = ""
    for path in paths:
        name = str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
        try:
            with pq.ParquetFile(path) as file:
                _refuse_bomb(path, file.metadata)
                columns = _columns(file.schema_arrow)
                if not first:
                    first, table.columns = name, columns
                else:
                    _compare(table.columns, columns, first)
                if whole:
                    _read_rows(file, table, name)
                elif first == name:
                    _read_lengths(file, table.columns, name)
        except (pa.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0]
            table.faults.append(f"{name} cannot be read as Parquet: {reason}; fetch or write it again")
        except _Fault as fault:
            table.faults.append(f"{name}: {fault}")
        if len(table.faults) >= MOST_FAULTS:
            break
    if whole:
        table.refuse_no_rows()
    return table


def _refuse_bomb(path: Path, metadata: pq.FileMetaData) -> None:
    """Refuses a file whose footer says that it unpacks to far more, before a row is read.

    Pages say what they unpack to. A column of one value repeated takes no page to speak of, however many rows it has.
    """
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    pages = sum(group.total_byte_size for group in groups)
    values = metadata.num_rows * metadata.num_columns * _WIDTH
    if fault := size_bounds.excess(path.stat().st_size, max(pages, values)):
        raise _Fault(fault)


def _columns(schema: pa.Schema) -> dict[str, Column]:
    twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if twice:
        raise _Fault(f"two columns are called {twice[0]!r}, and one would be lost; rename one of them")
    return {field.name: Column(kind=_kind(field.name, field.type)) for field in schema}


def _kind(name: str, type_: pa.DataType) -> str:
    within = type_.value_type if _is_list(type_) else type_
    if types.is_dictionary(within):
        within = within.value_type
    if types.is_integer(within) or types.is_boolean(within):
        return INTEGER
    if types.is_float32(within) or types.is_float64(within):
        return FLOAT
    if types.is_null(within):
        return EMPTY
    for is_text in (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary):
        if is_text(within):
            return TEXT
    raise _Fault(
        f"the column {name!r} is {type_}, and examples hold integers, floats, text and lists of these; write it "
        f"as one of them{', a time as seconds since 1970' if types.is_temporal(within) else ''}"
    )


def _compare(wanted: dict[str, Column], columns: dict[str, Column], first: str) -> None:
    for name in wanted:
        if name not in columns:
            raise _Fault(f"has no column {name!r}, unlike {first}; files of a split need the same columns")
    for name, column in columns.items():
        if name not in wanted:
            raise _Fault(f"has a column {name!r}, unlike {first}; files of a split need the same columns")
        known = wanted[name]
        if known.kind == EMPTY:
            known.kind = column.kind
        elif column.kind not in (EMPTY, known.kind):
            raise _Fault(
                f"the column {name!r} holds {column.kind}, and {known.kind} in {first}; write one type"
            )


def _read_rows(file: pq.ParquetFile, table: Table, name: str) -> None:
    before = table.rows
    for batch in file.iter_batches():
        for field, values in zip(batch.schema, batch.columns, strict=True):
            _add(table.columns[field.name], field.name, values, table.rows - before, name)
        table.rows += batch.num_rows


def _read_lengths(file: pq.ParquetFile, columns: dict[str, Column], name: str) -> None:
    """Learns from the first rows how many values lists have."""
    lists = [field.name for field in file.schema_arrow if _is_list(field.type)]
    if not lists:
        return
    before = 0
    for batch in file.iter_batches(batch_size=100, columns=lists):
        for field, values in zip(batch.schema, batch.columns, strict=True):
            _add_lengths(columns[field.name], pc.list_value_length(values).fill_null(0), before, name)
        if all(columns[field].where_values for field in lists):
            return
        before += batch.num_rows


def _is_list(type_: pa.DataType) -> bool:
    return types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_)


def _add_lengths(column: Column, lengths: pa.Array, before: int, name: str) -> None:
    """Adds numbers of values in a column's rows, 0 for rows without."""
    filled = pc.filter(lengths, pc.greater(lengths, 0))
    if not len(filled):
        return
    if not column.where_values:
        column.values = filled[0].as_py()
        column.where_values = _place(name, before, pc.index(lengths, filled[0]).as_py())
    others = pc.filter(filled, pc.not_equal(filled, column.values))
    if len(others) and not column.ragged:
        where = _place(name, before, pc.index(lengths, others[0]).as_py())
        column.ragged = (
            f"{column.values} values in {column.where_values}, and {others[0].as_py()} in {where}"
        )


def _place(name: str, before: int, index: int) -> str:
    return f"{name}, row {before + index + 1}"


def _add(column: Column, of: str, values: pa.Array, before: int, name: str) -> None:
    """Adds values of a column to what is known of it; `before` rows of the file came before them."""
    gone = values.is_null()
    if _is_list(values.type):
        lengths = pc.list_value_length(values).fill_null(0)
        gone = pc.equal(lengths, 0)
        _add_lengths(column, lengths, before, name)
        values = values.flatten()
        if values.null_count:
            raise _Fault(f"the column {of!r} has lists with a null in them; fill in the values")
    count = pc.sum(gone).as_py() or 0
    column.missing += count
    if count and not column.where_missing:
        column.where_missing = _place(name, before, pc.index(gone, True).as_py())
    if types.is_uint64(values.type) and len(values):
        most = pc.max(values).as_py()
        if most is not None and most > _MOST:
            raise _Fault(
                f"the column {of!r} holds {most}, which does not fit into int64; write it as text or a float"
            )
