"""Whether the entries of `kubeflow.nodes` name nodes of the plan."""

from __future__ import annotations

from collections.abc import Iterator

from components.common.base.near_names import nearest
from components.registry import TECHNIQUES
from pipeline.config.config import Config
from pipeline.config.kubeflow_options import unmatched
from pipeline.config.problem import Problem
from pipeline.plan.node import Node
from pipeline.plan.plan import Plan


def technique_of(node: Node) -> str | None:
    """Technique of a node's step; None for a node that is not a step."""
    found = (name for name, known in TECHNIQUES.items() if known.component == node.component)
    return next(found, None)


def unknown_nodes(config: Config, plan: Plan) -> Iterator[Problem]:
    """Entries of `kubeflow.nodes` that match no node."""
    techniques = {node.id: technique_of(node) for node in plan.nodes}
    known = [*techniques, *(name for name in dict.fromkeys(techniques.values()) if name)]
    for key in unmatched(config.kubeflow, techniques):
        message = f"{key!r} matches no node; `paredown plan` lists them"
        if "*" not in key:
            fix = nearest(key, known) or "; `paredown plan` lists them"
            message = f"there is no node or step {key!r}{fix}"
        yield Problem(message, ("kubeflow", "nodes", key))
