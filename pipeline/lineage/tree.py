"""Lineage on screen: what a model was made from, and what was made from data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from pipeline.lineage.downstream_tree import DownstreamTree
from pipeline.lineage.lines import clean
from pipeline.lineage.upstream_tree import UpstreamTree

if TYPE_CHECKING:
    from pipeline.lineage.graph import Graph
    from pipeline.lineage.target import Note
    from pipeline.store.records import Run

_NEWEST = 5

_NOTE_STYLES = {"ok": "green", "warning": "yellow", "tampered": "bold red"}


def tree(
    graph: Graph,
    runs: Sequence[Run] = (),
    notes: Iterable[Note] = (),
    down: bool = False,
    documents: Mapping[str, Mapping[str, Any]] | None = None,
    newest: int = _NEWEST,
) -> RenderableType:
    """The graph as a tree.

    Upstream, from a pushed model: the verdict with every limit, the candidate's steps with their options
    and what was measured layer by layer, the baseline, schema, statistics and the data's files. Whatever
    was shown once is referred to from then on. Downstream: what was made from the roots, summed up by
    node.

    Args:
        graph: As pipeline.lineage.graph.upstream or, with `down`, pipeline.lineage.graph.downstream returns it.
        runs: That the graph's executions belong to; those that are not given are named by their ids.
        notes: What was found out about the roots, e.g. that a file is not what was pushed.
        down: Whether the graph leads downstream.
        documents: SHA-256 → config, environment or data document of those runs.
        newest: Downstream, how many of the same node are shown.
    """
    lines = [
        Text(
            f"{note.kind.upper() if note.kind == 'tampered' else note.kind}: {clean(note.text)}",
            style=_NOTE_STYLES.get(note.kind, ""),
        )
        for note in notes
    ]
    if down:
        trees = [DownstreamTree(graph, newest).tree(graph.artifacts[root]) for root in graph.roots[:1]]
        if len(graph.roots) > 1:
            trees = [
                DownstreamTree(graph, newest).tree_of_all([graph.artifacts[root] for root in graph.roots])
            ]
        return Group(*lines, *trees)
    shown = UpstreamTree(graph, runs, documents or {})
    return Group(*lines, *(shown.tree(graph.artifacts[root]) for root in graph.roots))
