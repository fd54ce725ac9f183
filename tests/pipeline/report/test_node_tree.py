"""The nodes as a tree."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.report.data import ReportData, Step
from pipeline.report.node_tree import Branch, tree
from pipeline.store.state import State


def pairs(branches: tuple[Branch, ...], parent: str = "") -> Iterator[tuple[str, str, bool]]:
    """Parent, node, and whether it led to the winner, from top to bottom."""
    for branch in branches:
        yield parent, branch.step.node, branch.chosen
        yield from pairs(branch.children, branch.step.node)


def test_every_node_is_below_the_one_that_it_continues(pushed: ReportData) -> None:
    found = list(pairs(tree(pushed)))
    assert sorted(node for _, node, _ in found) == sorted(step.node for step in pushed.steps)
    below = {node: parent for parent, node, _ in found}
    assert below["Trainer"] == "AnomalyGate", "data, as it reads no model"
    assert (below["prune"], below["prune-convert"]) == ("Trainer", "prune")
    for node in ("measure", "evaluate"):
        assert below[f"prune-convert-{node}"] == "prune-convert", "and not the baseline's converter"
    assert (below["Selector"], below["Pusher"]) == ("", "Selector")


def test_the_way_of_the_winner_is_marked(pushed: ReportData) -> None:
    chosen = {node for _, node, marked in pairs(tree(pushed)) if marked}
    assert chosen == {
        "AnomalyGate", "Trainer", "prune", "prune-convert", "prune-convert-measure", "prune-convert-evaluate",
        "Selector", "Pusher",
    }  # fmt: skip


def test_what_reads_itself_or_what_came_later_ends(pushed: ReportData) -> None:
    steps = tuple(
        Step(node, "Pruner", State.RAN, 1.0, 1, {}, {}, {"base_model": reads})
        for node, reads in (("a", "b"), ("b", "a"), ("c", "c"), ("d", "gone"))
    )
    found = list(pairs(tree(ReportData(**{**vars(pushed), "steps": steps, "candidates": ()}))))
    assert found == [("", "a", False), ("a", "b", False), ("", "c", False), ("", "d", False)]
