"""Names of a plan's nodes as tasks of a cluster."""

from __future__ import annotations

import hashlib
import re

from pipeline.plan.plan import Plan

# Argo names a template after a task. KFP before 2.1 keeps a task's spec in an annotation of the workflow,
# `implementations-<task>`, and what follows the slash of an annotation may have 63 characters.
LONGEST_TASK = 63 - len("implementations-")


def task_name(node_id: str) -> str:
    """A node's id as a name that Kubernetes takes (RFC 1123): `import-example-gen`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", node_id).lower()


def task_names(plan: Plan) -> dict[str, str]:
    """Id of each node → name of its task.

    A name that would be too long ends in a hash of the id.
    """
    names = {}
    for node in plan.nodes:
        name = task_name(node.id)
        if len(name) > LONGEST_TASK:
            digest = hashlib.sha256(node.id.encode()).hexdigest()[:8]
            name = f"{name[: LONGEST_TASK - 9].rstrip('-')}-{digest}"
        names[node.id] = name
    return names
