"""CSV files, read as TFX's CsvExampleGen reads them. Imports neither TensorFlow nor TFX.

TFX reads the names of the columns from the first line, cut at each comma, and infers the type of a column from all
of its cells: integers if all are integers, else floats, else text (`tfx_bsl.coders.csv_decoder`). A row begins on a
new line unless a quote is open, by counting quotes. Its executor fails at a row with a field too many, without a file
or a line; an integer that does not fit into int64 silently makes its column text. Both are found here, by file and
line.

No other reader replaces this one: Arrow's accepts text after a closing quote, ends a row at CR, and counts rows where
a person needs lines.
"""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from components.common.base.missing_values import is_missing
from pipeline.checks.table import EMPTY, FLOAT, INTEGER, MOST_FAULTS, TEXT, Column, Table

# How gzip, bzip2, xz, zstd and zip files begin. Beam would unpack some of them, by their suffix and without a bound.
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"PK\3\4")
_LEAST, _MOST = -(2**63), 2**63 - 1
_RANK = {EMPTY: 0, INTEGER: 1, FLOAT: 2, TEXT: 3}
# Rows that are looked at together, column by column.
_TOGETHER = 5000
# Numbers in a column of text are counted until it has this many cells that are not numbers.
_MOST_COUNTED = 1000
# No field of a table is longer; csv refuses more than 128 KiB by default.
_LONGEST_FIELD = 2**24

_Record = tuple[int, str]


class _Fault(Exception):
    """The rest of a file cannot be read."""


def read(paths: Iterable[Path], folder: Path, whole: bool, missing: Collection[str] = ()) -> Table:
    """Reads the files of a split.

    Args:
        paths: The files.
        folder: What their names are shown from.
        whole: Whether to read all rows; if not, only names of columns are read.
        missing: Spellings of a missing value besides the empty cell.
    """
    table = Table()
    columns = _Columns(frozenset(missing))
    first: tuple[str, list[str]] | None = None
    for path in paths:
        name = str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
        try:
            header = _header(path)
        except _Fault as fault:
            table.faults.append(f"{name}:1: {fault}")
            continue
        if first is None:
            first = (name, header)
            columns.start(header)
        elif header != first[1]:
            table.faults.append(f"{name}:1: {_difference(first[1], header, first[0])}")
            continue
        if whole:
            table.faults += _faults_of_rows(path, name, columns)
    if first is not None:
        table.columns = columns.finished()
        table.faults += columns.faults()
    table.rows = columns.rows
    if whole:
        table.refuse_no_rows()
    return table


def _header(path: Path) -> list[str]:
    with open(path, "rb") as file:
        line = file.readline()
    if line.startswith(_COMPRESSED):
        raise _Fault("is compressed, and TFX reads CSV as plain text; unpack it")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _Fault(f"is not UTF-8 at byte {error.start + 1}; save the file as UTF-8") from error
    if "\0" in text:
        raise _Fault("has bytes of 0, as UTF-16 does; save the file as UTF-8")
    if "\r" in text.rstrip("\r\n"):
        raise _Fault(
            "ends its lines with CR, so TFX reads all of them as one line; end them with LF or CRLF"
        )
    if text.startswith("\ufeff"):
        raise _Fault(
            "begins with a byte order mark, which TFX reads as part of the first column's name; save the file "
            "as UTF-8 without one"
        )
    names = text.strip().split(",")  # as tfx.utils.io_utils.load_csv_column_names
    quoted = [name for name in names if '"' in name]
    if quoted:
        raise _Fault(
            f"the column {quoted[0]} is written in quotes, which TFX reads as part of the name; remove them"
        )
    twice = sorted({name for name in names if names.count(name) > 1 and name})
    if twice:
        raise _Fault(f"two columns are called {twice[0]!r}, and one would be lost; rename one of them")
    if "" in names:
        raise _Fault(f"column {names.index('') + 1} has no name; write one, or remove the column")
    if all(_kind(name)[0] in (INTEGER, FLOAT) for name in names):
        raise _Fault(
            "the file begins with numbers, and TFX reads the names of the columns from the first line; write them "
            "above"
        )
    return names


def _difference(wanted: list[str], header: list[str], first: str) -> str:
    missing = [name for name in wanted if name not in header]
    more = [name for name in header if name not in wanted]
    if missing or more:
        what = [f"has no column {missing[0]!r}"] if missing else []
        what += [f"has a column {more[0]!r}"] if more else []
        return f"{' and '.join(what)}, unlike {first}; files of a split need the same columns"
    return f"has the columns of {first} in another order; files of a split need the same header"


def _faults_of_rows(path: Path, name: str, columns: _Columns) -> list[str]:
    faults: list[str] = []
    try:
        records = _records(path)
        while chunk := list(itertools.islice(records, _TOGETHER)):
            lines, rows = _rows(chunk, columns.width, faults)
            columns.add(rows, lines, name)
            if len(faults) >= MOST_FAULTS:
                break
    except _Fault as fault:
        faults.append(str(fault))
    return [f"{name}:{fault}" for fault in faults[:MOST_FAULTS]]


def _records(path: Path) -> Iterator[_Record]:
    """Number of the first line and text of each row: lines, joined if a quote spans several."""
    with open(path, "rb") as file:
        file.readline()
        held: list[str] = []
        quotes = began = 0
        for number, line in enumerate(file, 2):
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise _Fault(
                    f"{number}: is not UTF-8 at byte {error.start + 1}; save the file as UTF-8"
                ) from error
            if not held and '"' not in text:
                yield number, text
                continue
            began = began if held else number
            held.append(text)
            quotes += text.count('"')
            if quotes % 2 == 0:
                yield began, "".join(held)
                held, quotes = [], 0
        if held:
            raise _Fault(
                f"{began}: a quote is opened and never closed; close it, or double it if it belongs to the text"
            )


def _rows(chunk: list[_Record], width: int, faults: list[str]) -> tuple[list[int], list[list[str]]]:
    """Cells of each whole row, with their lines; blank lines are skipped, as TFX does.

    Text after a closing quote is a fault here. TFX reads it as part of the field, so that a forgotten quote makes
    one field of everything before the next quote, whole rows included.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    try:
        rows = list(csv.reader((text for _, text in chunk), strict=True))
    except csv.Error:
        rows = []
    if len(rows) == len(chunk) and all(len(row) == width for row in rows):
        return [number for number, _ in chunk], rows
    lines, whole = [], []
    for number, text in chunk:
        try:
            found = list(csv.reader([text], strict=True))
        except csv.Error as error:
            faults.append(
                f"{number}: cannot be read as CSV ({error}); close quotes, and double those that belong to the text"
            )
            continue
        if len(found[0]) == width:
            lines.append(number)
            whole.append(found[0])
        elif found[0]:
            spread = text.rstrip("\r\n").count("\n")
            faults.append(
                f"{number}: has {len(found[0])} fields, and the header has {width}; "
                + (
                    f"a quote spans {spread} more lines; close it where its text ends"
                    if spread
                    else "write as many, and put fields with commas in quotes"
                )
            )
    return lines, whole


def _kind(cell: str) -> tuple[str, bool]:
    """The type that TFX infers for a cell, and whether it is an integer outside int64."""
    if cell.isascii():
        try:
            value = int(cell)
        except ValueError:
            pass
        else:
            return INTEGER, not _LEAST <= value <= _MOST
        try:
            float(cell)
        except ValueError:
            return TEXT, False
        return FLOAT, False
    return TEXT, False


class _Columns:
    """The columns of a split while rows are added."""

    def __init__(self, missing: frozenset[str]) -> None:
        self.missing = missing
        self.rows = 0
        self.names: list[str] = []
        self.found: list[Column] = []
        # Column → place of its first integer outside int64, and that integer.
        self.outside: dict[int, tuple[str, str]] = {}

    @property
    def width(self) -> int:
        return len(self.names)

    def start(self, names: list[str]) -> None:
        self.names = names
        self.found = [Column() for _ in names]

    def add(self, rows: list[list[str]], lines: list[int], name: str) -> None:
        """Adds rows of a file, whose lines these are."""
        self.rows += len(rows)
        for index, cells in enumerate(zip(*rows, strict=True)):
            column = self.found[index]
            distinct = set(cells)
            gone = {cell for cell in distinct if is_missing(cell, self.missing)}
            if gone:
                distinct -= gone
                column.missing += sum(map(cells.count, gone))
                first = min(map(cells.index, gone))
                column.where_missing = column.where_missing or f"{name}:{lines[first]}"
            if distinct and column.texts < _MOST_COUNTED:
                self._infer(index, column, distinct, cells, lines, name)

    def _infer(
        self,
        index: int,
        column: Column,
        distinct: set[str],
        cells: tuple[str, ...],
        lines: list[int],
        name: str,
    ) -> None:
        counts = Counter(cells)
        texts = set()
        for cell in distinct:
            kind, outside = _kind(cell)
            if kind == TEXT:
                texts.add(cell)
                column.texts += counts[cell]
            else:
                column.numbers += counts[cell]
            if _RANK[kind] > _RANK[column.kind]:
                column.kind = kind
            if outside and index not in self.outside:
                self.outside[index] = (f"{name}:{lines[cells.index(cell)]}", cell)
        if texts and not column.where_text:
            first = next(place for place, cell in enumerate(cells) if cell in texts)
            column.first_text, column.where_text = cells[first], f"{name}:{lines[first]}"

    def finished(self) -> dict[str, Column]:
        return dict(zip(self.names, self.found, strict=True))

    def faults(self) -> list[str]:
        """Integers because of which TFX would read their whole column as text."""
        return [
            f"{where}: {self.names[index]} is {cell if len(cell) < 40 else cell[:36] + ' …'}, which does not fit "
            "into int64, so TFX would read the whole column as text; write it as a float, such as 1e19, or with a "
            "letter before it if it is a name"
            for index, (where, cell) in self.outside.items()
            if self.found[index].kind != TEXT
        ]
