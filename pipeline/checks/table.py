"""The columns and rows of a table, and what is wrong with its files."""

from __future__ import annotations

from dataclasses import dataclass, field

INTEGER, FLOAT, TEXT, EMPTY = "integers", "floats", "text", "no values"

# Per file: the first faults say what is wrong; more would only hide them.
MOST_FAULTS = 3


@dataclass
class Column:
    """A column of a split's files.

    Attributes:
        kind: The type that TFX infers: INTEGER, FLOAT or TEXT; EMPTY if no row has a value.
        values: Number of values in the first row that has some; 1 unless it is a list.
        where_values: Place of that row; empty if it is not known.
        ragged: Which rows have another number of values, in words; empty if all have as many.
        numbers: Number of cells that are numbers, in a column of text.
        texts: Number of cells that are not, in the same rows; not all rows need be counted.
        first_text: The first of these; empty if it is not known.
        where_text: Its place, as `file:line`.
        missing: Number of rows without a value.
        where_missing: The first of these, as `file:line` or in words; empty if there is none.
    """

    kind: str = EMPTY
    values: int = 1
    where_values: str = ""
    ragged: str = ""
    numbers: int = 0
    texts: int = 0
    first_text: str = ""
    where_text: str = ""
    missing: int = 0
    where_missing: str = ""


@dataclass
class Table:
    """The files of a split, as one table.

    Attributes:
        columns: By name.
        rows: Number of rows; 0 if they were not counted.
        faults: What keeps TFX from reading the files as intended, each with its file and place.
    """

    columns: dict[str, Column] = field(default_factory=dict)
    rows: int = 0
    faults: list[str] = field(default_factory=list)

    def refuse_no_rows(self) -> None:
        """Adds a fault if the files were read without one, and have no row."""
        if not self.rows and not self.faults:
            self.faults.append("its files have no rows; write some, or change the pattern")
