"""Cells of a table that mean a missing value. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Collection


def is_missing(cell: str, spellings: Collection[str]) -> bool:
    """Whether a cell has no value: it is empty, or one of the spellings, spaces around it aside."""
    return not cell or (bool(spellings) and cell.strip() in spellings)
