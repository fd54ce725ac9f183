"""Where the names of points go, so that they do not stand on each other."""

from __future__ import annotations

from dataclasses import dataclass

# Pixels of plotly's text at its size on the page.
_CHARACTER, _LINE, _GAP = 6.6, 15.0, 9.0

# plotly's textposition → where the text's box is: sides of the point, horizontally and vertically.
_PLACES = {
    "middle right": (1, 0),
    "middle left": (-1, 0),
    "top center": (0, 1),
    "bottom center": (0, -1),
    "top right": (1, 1),
    "bottom right": (1, -1),
    "top left": (-1, 1),
    "bottom left": (-1, -1),
}


@dataclass(frozen=True)
class _Box:
    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: _Box) -> float:
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return width * height if width > 0 and height > 0 else 0.0


def place(
    points: list[tuple[float, float]],
    names: list[str],
    width: float,
    height: float,
    lines: list[tuple[float, float, float, float]] | None = None,
    needed: int = 0,
) -> list[str | None]:
    """Chooses a place beside its point for each name.

    Args:
        points: Pixels from the left and from the bottom of the plot.
        names: Of the first points; the other ones are only in the way.
        width: Pixels of the plot.
        height: Likewise.
        lines: Level and upright ones, as left, bottom, right, top, that names should not stand on.
        needed: So many of the first names are written even where they cover a point or a line.

    Returns:
        plotly's `textposition` of each name; None where every place would cover something.
    """
    taken = [_Box(x - 5, y - 5, x + 5, y + 5) for x, y in points]
    taken += [_Box(left - 2, low - 2, right + 2, high + 2) for left, low, right, high in lines or []]
    written: list[_Box] = []
    places: list[str | None] = []
    for index, ((x, y), name) in enumerate(zip(points, names, strict=False)):
        choices = []
        for order, (position, (across, up)) in enumerate(_PLACES.items()):
            box = _box(x, y, across, up, len(name))
            outside = box.left < 0 or box.right > width or box.bottom < 0 or box.top > height
            hidden = sum(box.overlap(other) for other in written)
            covered = sum(box.overlap(other) for other in taken)
            choices.append((hidden + (1e4 if outside else 0), covered, order, position, box))
        hidden, covered, _, position, box = min(choices, key=lambda choice: choice[:3])
        if hidden or (covered and index >= needed):
            places.append(None)
            continue
        places.append(position)
        written.append(box)
    return places


def _box(x: float, y: float, across: int, up: int, characters: int) -> _Box:
    width = characters * _CHARACTER
    left = {1: x + _GAP, 0: x - width / 2, -1: x - _GAP - width}[across]
    bottom = {1: y + _GAP / 2, 0: y - _LINE / 2, -1: y - _GAP / 2 - _LINE}[up]
    if across == 0:
        bottom = y + _GAP if up == 1 else y - _GAP - _LINE
    return _Box(left, bottom, left + width, bottom + _LINE)
