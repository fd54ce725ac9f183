"""Results of benchmarks as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; the first column is text, the others are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def spread(values: Sequence[float], digits: int = 1) -> str:
    """The median, and least and greatest of several."""
    middle = sorted(values)
    half = len(middle) // 2
    median = middle[half] if len(middle) % 2 else (middle[half - 1] + middle[half]) / 2
    text = f"{median:.{digits}f}"
    if len(values) > 1:
        text += f" ({middle[0]:.{digits}f} to {middle[-1]:.{digits}f})"
    return text
