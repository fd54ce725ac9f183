"""One column of the table of verdicts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One figure of the baseline and of every candidate.

    Attributes:
        head: Its name.
        baseline: The baseline's value.
        cells: Each candidate's, in their order.
        under: Whether it is about the column before, and a narrow terminal shows it below that one.
    """

    head: str
    baseline: str
    cells: tuple[str, ...]
    under: bool = False


def number(value: float | None, layout: str) -> str:
    """A number in a layout of `format`; a dash if there is none."""
    if value is None:
        return "–"
    text = format(value, layout)
    return text.replace("-", "+" if "+" in layout else "", 1) if float(text) == 0 else text  # no -0.0000
