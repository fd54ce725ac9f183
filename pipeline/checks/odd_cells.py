"""Text in a column of numbers: where it is, and what to write instead. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.base.texts import excerpt

# Spellings of a missing value in exports, in lower case.
_MISSING = frozenset(
    ["na", "n/a", "#n/a", "<na>", "null", "none", "nil", "missing", "unknown", "?", "-", "--", ".", "*"]
)
# A number, with what people write around and within it.
_DECORATED = re.compile(r"([+-]?)\s*[$€£¥]?\s*([+-]?\d[\d.,'_ \u00a0\u202f]*)\s*([%$€£¥]?)")
_THOUSANDS = re.compile(r"\d{1,3}([,'_ \u00a0\u202f]\d{3})+(\.\d+)?")


@dataclass(frozen=True)
class OddCells:
    """Cells of text in a column that also holds numbers; because of them, TFX reads all of it as text.

    Attributes:
        numbers: Number of cells that are numbers.
        texts: Number of cells that are not.
        where: Place of the first of these.
        first: The first of these.
    """

    numbers: int
    texts: int
    where: str
    first: str

    def in_words(self) -> str:
        """How many there are, and where."""
        cells = (
            f"{self.texts:,} cells that are not numbers"
            if self.texts > 1
            else "a cell that is not a number"
        )
        place = f", first {self.where}: " if self.texts > 1 else f", {self.where}: "
        return f"{cells}{place}{self.shown()}"

    def shown(self) -> str:
        """The first of them, in quotes."""
        return excerpt(repr(self.first))

    def label_fix(self) -> str:
        """The fix in a label."""
        cell = self.first.strip()
        if plain_number(cell) is not None:
            return self.fix()
        return "remove such rows: nothing can be learnt from an example without a label"

    def fix(self) -> str:
        """The fix in a feature."""
        cell = self.first.strip()
        if cell.lower() in _MISSING or not cell:
            spelled = f'"{cell}"' if cell.lower() == "null" or not cell.isalnum() else cell
            return f"if it means a missing value, write data.missing: [{spelled}]"
        number = plain_number(cell)
        if number is not None:
            if "%" in cell:
                return f"write {number} or {float(number) / 100:g}, the same way in all rows"
            if re.fullmatch(r"[+-]?\d{1,3},\d{3}", cell):
                return f"write {number}, or {cell.replace(',', '.')} if the comma is the decimal mark"
            return f"write {number}"
        return "write a number, or, if it means a missing value, list it in data.missing"


def plain_number(cell: str) -> str | None:
    """A decorated number as programs read it: `1,5` as 1.5, `12%` as 12, `$1,200.50` as 1200.50; None if it is none."""
    found = _DECORATED.fullmatch(cell.strip())
    if found is None:
        return None
    sign, digits, _ = found.groups()
    if _THOUSANDS.fullmatch(digits.lstrip("+-").strip()):
        number = re.sub(r"[^\d.+-]", "", digits)
    else:
        number = re.sub(r"\s", "", digits)
        number = number.replace(".", "").replace(",", ".") if "," in number else number
    try:
        float(number)
    except ValueError:
        return None
    return f"{sign}{number}"
