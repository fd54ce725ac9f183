"""The data that a model was made from, on screen: schema, statistics, examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.tree import Tree

from components.common.base.quantities import bytes_text
from pipeline.lineage import facts
from pipeline.lineage.lines import MOST_LAYERS, ROLES, add_properties, counts_text, headline, line, more

if TYPE_CHECKING:
    from pipeline.lineage.graph import Graph
    from pipeline.store.records import Artifact, Execution, Run


class DataTree:
    """Branches of data. Each artifact is opened once."""

    def __init__(
        self,
        graph: Graph,
        runs: Sequence[Run],
        documents: Mapping[str, Mapping[str, Any]],
        shown: set[int],
        made: Callable[[Tree, Execution | None], None],
    ):
        """Shows nothing yet.

        Args:
            graph: That the artifacts are in.
            runs: That the graph's executions belong to.
            documents: SHA-256 → document of those runs.
            shown: Ids of artifacts that were shown; grows.
            made: Adds the line that says what made an artifact.
        """
        self._graph = graph
        self._runs = runs
        self._documents = documents
        self._shown = shown
        self._made = made

    def add(self, parent: Tree, artifacts: list[Artifact]) -> None:
        """Schema, statistics, examples and the like, with all that they were made from, each a branch."""
        waiting = [a for a in artifacts if a.type in facts.DATA_TYPES]
        found: dict[int, Artifact] = {}
        while waiting:
            artifact = waiting.pop()
            if artifact.id in found:
                continue
            found[artifact.id] = artifact
            producer = self._graph.producer(artifact.id)
            if producer is not None:
                waiting += [a for made in self._graph.inputs(producer.id).values() for a in made]
        # The newest is the most derived one, but for examples, which come last.
        ordered = sorted(
            found.values(),
            key=lambda a: (
                (facts.DATA_TYPES.index(a.type), -a.id) if a.type in facts.DATA_TYPES else (0, -a.id)
            ),
        )
        for artifact in ordered:
            if artifact.id in self._shown:
                parent.add(headline(ROLES.get(artifact.type, artifact.type), "", artifact, "as above"))
            else:
                self._datum(parent, artifact)

    def _datum(self, parent: Tree, artifact: Artifact) -> None:
        self._shown.add(artifact.id)
        producer = self._graph.producer(artifact.id)
        sources = []
        if producer is not None:
            inputs = [a for made in self._graph.inputs(producer.id).values() for a in made]
            sources = [f"#{i}" for i in sorted({a.id for a in inputs})]
        role = ROLES.get(artifact.type, artifact.type)
        if producer is not None and producer.type == "SchemaGen":
            role = f"inferred {role}"
        branch = parent.add(headline(role, "", artifact, f"from {', '.join(sources)}" if sources else ""))
        self._made(branch, producer)
        if artifact.type == "Schema":
            features = facts.features(artifact)
            if features:
                branch.add(line("features", ", ".join(f"{name} {kind}" for name, kind in features)))
            for finding in facts.findings(artifact):
                branch.add(line(finding.state, finding.line()))
        elif artifact.type == "ExampleStatistics":
            counts = facts.split_counts(artifact)
            if counts:
                branch.add(line("examples", counts_text(counts)))
        elif artifact.type == "Examples":
            self._examples(branch, artifact, producer)
        elif artifact.type == "ExampleAnomalies":
            blessed = facts.plain(artifact.properties.get("blessed"))
            if isinstance(blessed, dict):
                found = sorted(split for split, passed in blessed.items() if not passed)
                where = ", ".join(found or sorted(blessed))
                branch.add(line("found in" if found else "none in", where))
        else:
            add_properties(branch, artifact)

    def _examples(self, branch: Tree, artifact: Artifact, producer: Execution | None) -> None:
        if producer is not None and producer.properties.get("input_base"):
            branch.add(line("read from", str(producer.properties["input_base"])))
        counts = facts.example_counts(self._graph, artifact)
        if counts:
            branch.add(line("examples", counts_text(counts)))
        for split, parts in facts.fingerprint(artifact).items():
            text = ", ".join(f"{key} {value}" for key, value in parts.items())
            branch.add(line("fingerprint", f"{split}: {text}"))
        digest, found = facts.data_document(self._graph, artifact, self._runs, self._documents)
        if found:
            branch.add(line("data", f"sha256 {digest}"))
            for split in dict.fromkeys(file.split for file in found):
                files = [file for file in found if file.split == split]
                for file in files[:MOST_LAYERS]:
                    branch.add(line(split, f"{file.file}, {bytes_text(file.bytes)}, sha256 {file.sha256}"))
                if len(files) > MOST_LAYERS:  # folders of images have one for each example
                    branch.add(more(len(files) - MOST_LAYERS, f"more files of {split}"))
