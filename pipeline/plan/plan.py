"""The plan: a config's candidates as a static graph of nodes. Imports neither TensorFlow nor TFX.

A plan says everything about a run that is known before it: which nodes there are, what each reads and
which parameters it is given. `pipeline.plan.planner` makes it of a config, `pipeline.run.build` turns it into a TFX
pipeline, and `pipeline.run.cache` says which nodes are already done.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pipeline.plan.node import ELSEWHERE, EXAMPLE_GENS, MACHINE, PUSHER, Node


@dataclass(frozen=True)
class Plan:
    """The graph that a config asks for.

    Attributes:
        nodes: In an order in which each node comes after what it reads.
        models: Candidate → id of the node that makes its TFLite file.
        measurements: Candidate → id of the node that measures it.
        evaluations: Candidate → id of the node that judges it.
        baseline: Id of the node that makes the baseline's TFLite file.
        source: What the baseline begins with besides build_model: `ModelDefinition.source`.
        again: Ids of nodes that run even if their results are cached.
        module_version: Version of the model module, which any node may import; empty if there is none.
    """

    name: str
    nodes: tuple[Node, ...]
    models: dict[str, str]
    measurements: dict[str, str]
    evaluations: dict[str, str]
    baseline: str
    source: dict[str, Any] = field(default_factory=dict)
    again: frozenset[str] = frozenset()
    module_version: str = ""

    @property
    def example_gen(self) -> str:
        """Id of the node that reads the data."""
        return next(node.id for node in self.nodes if node.id in EXAMPLE_GENS.values())

    def graph(self) -> dict[str, set[str]]:
        """Node id → ids of the nodes that it reads from, in the order of the nodes."""
        return {node.id: {source.node for source in node.inputs.values()} for node in self.nodes}

    def elsewhere(self) -> Plan:
        """The same plan for a cluster, where it is not known on which machine a node will run."""
        nodes = [
            dataclasses.replace(node, parameters={**node.parameters, MACHINE: ELSEWHERE})
            if MACHINE in node.parameters
            else node
            for node in self.nodes
        ]
        return dataclasses.replace(self, nodes=tuple(nodes))

    def unpushed(self) -> Plan:
        """The same plan without the node that pushes: a round of a search."""
        return dataclasses.replace(self, nodes=tuple(node for node in self.nodes if node.id != PUSHER))

    @property
    def pushes(self) -> bool:
        """Whether it has a node that pushes."""
        return any(node.id == PUSHER for node in self.nodes)

    def remeasured(self, candidates: Iterable[str]) -> Plan:
        """The same plan, in which these candidates are measured again."""
        return dataclasses.replace(self, again=frozenset(self.measurements[name] for name in candidates))

    def node(self, node_id: str) -> Node:
        """The node of an id."""
        return next(node for node in self.nodes if node.id == node_id)
