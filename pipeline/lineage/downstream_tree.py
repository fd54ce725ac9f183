"""What was made from artifacts, on screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from rich.tree import Tree

from pipeline.lineage import facts
from pipeline.lineage.lines import ROLES, clean, headline, more, name_of, outcome, size_text, time_text

if TYPE_CHECKING:
    from pipeline.lineage.graph import Graph
    from pipeline.store.records import Artifact

_GROUPS = 40


class DownstreamTree:
    """What was made from artifacts, by kind and node, newest first."""

    def __init__(self, graph: Graph, newest: int):
        self._graph = graph
        self._newest = newest

    def tree(self, root: Artifact) -> Tree:
        """One root with all that was made from it."""
        return self.tree_of_all([root])

    def tree_of_all(self, roots: list[Artifact]) -> Tree:
        """Roots with all that was made from any of them."""
        head = Text()
        for root in roots:
            head.append("\n" if head else "")
            head.append_text(headline(ROLES.get(root.type, root.type), name_of(root), root))
        top = Tree(head, guide_style="dim")
        made = {edge.artifact for edge in self._graph.edges if edge.output} - {root.id for root in roots}
        kinds: dict[str, list[Artifact]] = {}
        for number in sorted(made, reverse=True):
            artifact = self._graph.artifacts[number]
            kinds.setdefault(self._kind(artifact), []).append(artifact)
        if not made:
            top.add(Text("nothing was made from it", style="dim"))
        for kind in _KINDS:
            if kind in kinds:
                self._group(top, kind, kinds[kind])
        return top

    def _kind(self, artifact: Artifact) -> str:
        producer = self._graph.producer(artifact.id)
        maker = producer.type if producer else ""
        if artifact.type == "PushedModel":
            return "pushed versions"
        if artifact.type in facts.DATA_TYPES:
            return "statistics and schemas"
        if artifact.type == "components.BaselinePredictions":
            return "baseline's predictions"
        if artifact.type == "components.ModelMeasurement":
            return "measurements"
        if artifact.type == "ModelEvaluation":
            return "verdicts"
        if maker == "Selector":
            return "selections" if artifact.type not in ("Model", "ModelBlessing") else "rest"
        if artifact.type == "Model":
            if producer is not None and facts.step_options(producer) is None:
                return "baselines"
            return "TFLite models" if "quantization" in artifact.properties else "optimized models"
        return "rest"

    def _group(self, top: Tree, kind: str, artifacts: list[Artifact]) -> None:
        nodes: dict[str, list[Artifact]] = {}
        for artifact in artifacts:
            producer = self._graph.producer(artifact.id)
            nodes.setdefault((producer.node or producer.type) if producer else "", []).append(artifact)
        head = Text(kind, style="bold")
        summary = self._summary(kind, artifacts)
        head.append(f" {len(artifacts):,}" + (f": {summary}" if summary else ""))
        if kind == "rest":
            head.append("  " + ", ".join(sorted({a.type for a in artifacts})), "dim")
            top.add(head)
            return
        branch = top.add(head)
        for node, made in list(nodes.items())[:_GROUPS]:
            parent = branch
            if len(nodes) > 1 or len(made) > self._newest:
                own = self._summary(kind, made) if len(made) > 1 else ""
                title = Text(clean(node), style="cyan").append(
                    f" {len(made):,}" + (f": {own}" if own else "")
                )
                parent = branch.add(title) if len(made) > 1 else branch
            for artifact in made[: self._newest]:
                parent.add(self._one(kind, artifact, node if parent is branch else ""))
            if len(made) > self._newest:
                parent.add(more(len(made) - self._newest, "older"))
        if len(nodes) > _GROUPS:
            branch.add(more(len(nodes) - _GROUPS, "more nodes"))

    def _summary(self, kind: str, artifacts: list[Artifact]) -> str:
        if kind != "verdicts":
            return ""
        passed = sum(artifact.properties.get("blessed") == 1 for artifact in artifacts)
        return f"{passed:,} passed, {len(artifacts) - passed:,} did not"

    def _one(self, kind: str, artifact: Artifact, node: str) -> Text:
        producer = self._graph.producer(artifact.id)
        text = Text(f"{clean(node)} " if node else "", style="")
        name = name_of(artifact)
        if name:
            text.append(f"{clean(name)} ", "cyan")
        if kind == "verdicts":
            text.append_text(outcome(facts.verdict(artifact))).append(" ")
        elif kind == "TFLite models":
            text.append(f"{size_text(artifact)}, ")
        if producer is not None:
            text.append(time_text(producer.finished or producer.started))
        if not artifact.live:
            text.append(" files are gone", "yellow")
        return text.append(f"  #{artifact.id}", "dim")


_KINDS = (
    "statistics and schemas",
    "baselines",
    "optimized models",
    "TFLite models",
    "baseline's predictions",
    "measurements",
    "verdicts",
    "selections",
    "pushed versions",
    "rest",
)
