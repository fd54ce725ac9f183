"""The run's nodes as a graph, laid out in layers from the data to the pushed model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.plan.node import EXAMPLE_GENS
from pipeline.report.data import ReportData, Step

BOX_WIDTH, BOX_HEIGHT = 200, 46
_ACROSS, _DOWN, _MARGIN = 58, 16, 12
# Of a type and an id, as many characters as fit into a box.
_CHARACTERS = 24

# What comes before all models stands in the first column, from top to bottom.
_PREPARATION = (
    *EXAMPLE_GENS.values(),
    "StatisticsGen",
    "SchemaGen",
    "ExampleValidator",
    "AnomalyGate",
    "Transform",
)

# What nearly every node reads; a line for each of these would hide all others.
_DATA = ("examples", "transformed_examples", "schema", "transform_graph", "statistics", "baseline")


@dataclass(frozen=True)
class Box:
    """A node of the drawing.

    Attributes:
        step: What it stands for.
        label: The id, cut to the width.
        title: What to say of it in full.
        x, y: Pixels of its upper left corner.
        chosen: Whether it led to the selected candidate.
    """

    step: Step
    label: str
    title: str
    x: float
    y: float
    chosen: bool


@dataclass(frozen=True)
class Arrow:
    """A line from one node to another; `path` is SVG's, `chosen` as for boxes."""

    source: str
    target: str
    path: str
    chosen: bool


@dataclass(frozen=True)
class Drawing:
    """Boxes and arrows, and the pixels that they need."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    width: float
    height: float


def draw(data: ReportData) -> Drawing:
    """Lays the run's nodes out: columns by how many nodes lie before, rows so that lines seldom cross."""
    steps = {step.node: step for step in data.steps}
    sources = _reduced({node: _sources(step, steps) for node, step in steps.items()})
    prepared = [node for node, step in steps.items() if step.type in _PREPARATION]
    later = {
        n: [s for s in found if s not in prepared] for n, found in sources.items() if n not in prepared
    }
    columns = {node: column + bool(prepared) for node, column in _columns(later).items()}
    rows = _rows(later, columns)
    columns.update(dict.fromkeys(prepared, 0))
    rows.update({node: float(row) for row, node in enumerate(prepared)})
    chosen = _chosen(data, sources)
    boxes = tuple(
        Box(
            step=step,
            label=_cut(step.node),
            title=_title(step),
            x=_MARGIN + columns[node] * (BOX_WIDTH + _ACROSS),
            y=_MARGIN + rows[node] * (BOX_HEIGHT + _DOWN),
            chosen=node in chosen,
        )
        for node, step in steps.items()
    )
    placed = {box.step.node: box for box in boxes}
    arrows = tuple(
        Arrow(source, node, _path(placed[source], placed[node]), source in chosen and node in chosen)
        for node, found in sources.items()
        for source in found
    )
    return Drawing(
        boxes,
        # Those that matter are drawn last, over the others.
        tuple(sorted(arrows, key=lambda arrow: arrow.chosen)),
        max((box.x for box in boxes), default=0) + BOX_WIDTH + _MARGIN,
        max((box.y for box in boxes), default=0) + BOX_HEIGHT + _MARGIN,
    )


def _cut(text: str) -> str:
    return text if len(text) <= _CHARACTERS else text[: _CHARACTERS - 1] + "…"


def _title(step: Step) -> str:
    took = "" if step.seconds is None else f", {step.seconds:.1f} s"
    return f"{step.node}: {step.type}, {step.state}{took}"


def _sources(step: Step, steps: Mapping[str, Step]) -> list[str]:
    """The nodes that a line leads from: models first of all; data only where a node reads no model."""
    read = {key: node for key, node in step.reads.items() if node in steps and node != step.node}
    models = {node: None for key, node in read.items() if key not in _DATA}
    if models:
        # A model and its blessing come to the Selector from one node after the other.
        judged = {steps[node].reads.get("model") for node in models if steps[node].type == "Evaluator"}
        return [node for node in models if node not in judged]
    return list(dict.fromkeys(read.values()))


def _reduced(sources: dict[str, list[str]]) -> dict[str, list[str]]:
    """Without lines that a longer way stands for."""
    before: dict[str, set[str]] = {}

    def ancestors(node: str) -> set[str]:
        if node not in before:
            before[node] = set()  # so that a circle would end
            for source in sources[node]:
                before[node] |= {source, *ancestors(source)}
        return before[node]

    return {
        node: [s for s in found if not any(s in ancestors(other) for other in found if other != s)]
        for node, found in sources.items()
    }


def _columns(sources: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The longest way to each node."""
    columns: dict[str, int] = {}

    def column(node: str, path: frozenset[str]) -> int:
        if node not in columns:
            before = [column(source, path | {node}) for source in sources[node] if source not in path]
            columns[node] = 1 + max(before) if before else 0
        return columns[node]

    for node in sources:
        column(node, frozenset())
    return columns


def _rows(sources: Mapping[str, Sequence[str]], columns: Mapping[str, int]) -> dict[str, float]:
    """A row for each end of a chain; what several chains begin with stands in the row of the first."""
    children: dict[str, list[str]] = {}
    for node, found in sources.items():
        if len(found) == 1:
            children.setdefault(found[0], []).append(node)
    rows: dict[str, float] = {}
    free = 0.0

    def settle(node: str) -> float:
        nonlocal free
        if node not in rows:
            rows[node] = free  # so that a circle would end
            below = [settle(child) for child in children.get(node, [])]
            rows[node] = min(below, default=free)
            free = max(free, rows[node] + 1)
        return rows[node]

    for node, found in sources.items():
        if not found:
            settle(node)
    for node in sorted((n for n, found in sources.items() if len(found) > 1), key=lambda n: columns[n]):
        rows[node] = min(rows.get(source, 0.0) for source in sources[node])
        while len(children.get(node, [])) == 1:
            follower = children[node][0]
            rows[follower] = rows[node]
            node = follower
    for node in sources:
        settle(node)
    return _apart(rows, columns)


def _apart(rows: dict[str, float], columns: Mapping[str, int]) -> dict[str, float]:
    """Moves nodes of a column down where they would stand on each other."""
    apart: dict[str, float] = {}
    for column in sorted(set(columns.values())):
        least = 0.0
        for node in sorted((n for n in rows if columns[n] == column), key=lambda n: rows[n]):
            apart[node] = max(rows[node], least)
            least = apart[node] + 1
    return apart


def _chosen(data: ReportData, sources: Mapping[str, Sequence[str]]) -> set[str]:
    """The nodes on the way to the selected candidate's file, and after it."""
    winner = data.winner
    maker = data.graph.producer(winner.model) if winner and winner.model in data.graph.artifacts else None
    if maker is None:
        return set()
    chosen, waiting = set(), [maker.node]
    while waiting:
        node = waiting.pop()
        if node not in chosen:
            chosen.add(node)
            waiting += sources.get(node, [])
    after = {f"{maker.node}-evaluate"}
    after |= {step.node for step in data.steps if step.type in ("Selector", "Pusher")}
    return chosen | (after & set(sources))


def _path(source: Box, target: Box) -> str:
    """A curve from the right side of a box to the left side of another."""
    x1, y1 = source.x + BOX_WIDTH, source.y + BOX_HEIGHT / 2
    x2, y2 = target.x, target.y + BOX_HEIGHT / 2
    if x1 == x2 + BOX_WIDTH:  # one below the other
        return f"M{source.x + BOX_WIDTH / 2:g},{source.y + BOX_HEIGHT:g}V{target.y:g}"
    if y1 == y2:
        return f"M{x1:g},{y1:g}H{x2:g}"
    # Level until the column before the target, so that a long line keeps to its row.
    bend = max(x1, x2 - _ACROSS)
    middle = (bend + x2) / 2
    return f"M{x1:g},{y1:g}H{bend:g}C{middle:g},{y1:g} {middle:g},{y2:g} {x2:g},{y2:g}"
