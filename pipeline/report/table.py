"""A table of the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cell:
    """A cell: its text, whether something is met (None if that is not the question), and what it links to."""

    text: str
    met: bool | None = None
    link: str = ""


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        caption: What it holds.
        columns: Heads.
        rows: The first cell of each is its head.
        texts: Indices of columns that hold words; all others hold numbers and are right-aligned.
        marked: Index of the row that is marked; None if none is.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    texts: frozenset[int] = frozenset({0})
    marked: int | None = None


def table_of(caption: str, columns: list[str], rows: list[list[Any]], **more: Any) -> Table:
    """A table of cells, or of values that become their texts."""
    cells = tuple(tuple(c if isinstance(c, Cell) else Cell(str(c)) for c in row) for row in rows)
    return Table(caption, tuple(columns), cells, **more)
