"""The run's nodes as a tree: each is below the node whose model, or data, it continues."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.report.data import ReportData, Step

# Nearly every node reads these; a node is below one of them only if it reads no model.
_DATA = ("examples", "transformed_examples", "schema", "transform_graph", "statistics", "baseline")


@dataclass(frozen=True)
class Branch:
    """A node of the run.

    Attributes:
        step: The node.
        chosen: Whether it led to the selected candidate, or followed it.
        children: The nodes below it.
    """

    step: Step
    chosen: bool
    children: tuple[Branch, ...]


def tree(data: ReportData) -> tuple[Branch, ...]:
    """The nodes that begin something, with all that was made from them, in the order in which they ran."""
    places = {step.node: index for index, step in enumerate(data.steps)}
    parents = {step.node: _parent(step, places) for step in data.steps}
    chosen = _chosen(data, parents)
    below: dict[str | None, list[Step]] = {}
    for step in data.steps:
        below.setdefault(parents[step.node], []).append(step)

    def branches(node: str | None) -> tuple[Branch, ...]:
        return tuple(Branch(step, step.node in chosen, branches(step.node)) for step in below.get(node, ()))

    return branches(None)


def _parent(step: Step, places: dict[str, int]) -> str | None:
    """The node that a node continues: of a model rather than of data, of data the newest."""
    if step.type == "Selector":  # it continues every candidate alike
        return None
    earlier = {
        key: node for key, node in step.reads.items() if places.get(node, len(places)) < places[step.node]
    }
    models = [node for key, node in earlier.items() if key not in _DATA]
    if models:
        return earlier.get("model") or earlier.get("base_model") or models[0]
    return max(earlier.values(), key=places.__getitem__, default=None)


def _chosen(data: ReportData, parents: dict[str, str | None]) -> set[str]:
    """The nodes on the way to the selected candidate's file, its measurement and evaluation, and what follows."""
    winner = data.winner
    maker = data.graph.producer(winner.model) if winner and winner.model in data.graph.artifacts else None
    if maker is None:
        return set()
    chosen = {step.node for step in data.steps if step.type in ("Selector", "Pusher")}
    chosen |= {
        step.node
        for step in data.steps
        if step.type in ("Measurer", "Evaluator") and parents[step.node] == maker.node
    }
    node: str | None = maker.node
    while node is not None:
        chosen.add(node)
        node = parents.get(node)
    return chosen
