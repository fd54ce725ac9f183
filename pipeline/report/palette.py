"""Colours of the charts: each has a contrast of 3:1 to the page in both themes of style.css (WCAG 2.2, 1.4.11)."""

from __future__ import annotations

from collections.abc import Iterable

BASELINE = "#77808c"
PASSED = "#2a8a5c"
FAILED = "#cc4b4b"

CANDIDATES = (
    "#2f7ec2",
    "#cb6715",
    "#8b62c4",
    "#2a8a5c",
    "#c74f94",
    "#8a7a14",
    "#1a8b9b",
    "#c4524a",
)
# If there are more candidates than colours, these distinguish those of one colour.
PATTERNS = ("", "/", "\\", "x")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon")


def color_of(names: Iterable[str]) -> dict[str, tuple[str, int]]:
    """Name → its colour, and how often the colours have been used up before it."""
    return {
        name: (CANDIDATES[index % len(CANDIDATES)], index // len(CANDIDATES))
        for index, name in enumerate(names)
    }
