"""The lineage of a target, up or down, in each format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType

from pipeline.lineage import formats, graph, tree
from pipeline.lineage.graph import Graph
from pipeline.lineage.store_choice import Choice, find_target
from pipeline.lineage.target import Target
from pipeline.store.records import Run

TEXT_FORMATS = ("json", "mermaid", "openlineage")


@dataclass(frozen=True)
class Answer:
    """The lineage of a target.

    Attributes:
        store: URL of the store that knows the target.
        target: What was asked about, with notes on its files.
        down: Whether the graph leads to what was made from the target.
        graph: Artifacts and executions.
        runs: The runs that those belong to.
        documents: SHA-256 → config, environment or data document of the runs.
    """

    store: str
    target: Target
    down: bool
    graph: Graph
    runs: Sequence[Run]
    documents: Mapping[str, Mapping[str, Any]]

    def tree(self) -> RenderableType:
        """The lineage for a terminal."""
        return tree.tree(self.graph, self.runs, self.target.notes, self.down, self.documents)

    def text(self, form: str) -> str:
        """The lineage in one of `TEXT_FORMATS`."""
        if form == "json":
            text = formats.to_json(self.graph, self.runs, self.documents, self.target.notes)
        elif form == "mermaid":
            text = formats.to_mermaid(self.graph, self.target.notes)
        else:
            from pipeline.lineage import open_lineage  # imports the client library

            text = "\n".join(open_lineage.write_events(self.graph, self.store, self.runs, self.documents))
        return text.rstrip("\n")

    def warnings(self) -> list[str]:
        """Problems of the target's files, for formats that do not contain them."""
        return [f"{note.kind.upper()}: {note.text}" for note in self.target.notes if note.kind != "ok"]


def find(choice: Choice, name: str, down: bool = False) -> Answer:
    """Finds a target and walks to what it was made from, or with `down` to what was made from it.

    Args:
        choice: The stores.
        name: A path, an artifact's id, a run's id or `latest`.
        down: Which way to walk.

    Raises:
        TargetError: If no store knows the target.
        StoreError: If a store cannot be opened.
    """
    url, reader, target = find_target(choice, name)
    walk = graph.downstream if down else graph.upstream
    found = walk(reader, target.artifacts)
    ids = {run for execution in found.executions.values() for run in execution.runs}
    runs = reader.runs_by_id(ids | ({target.run.id} if target.run else set()))
    return Answer(url, target, down, found, runs, reader.documents(runs))
