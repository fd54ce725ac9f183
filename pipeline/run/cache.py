"""Which nodes of a plan are already done, told from ML Metadata as TFX's cache will tell it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from components.common.base.file_hashes import FILES, digests
from pipeline.plan.node import PUSHER, Node
from pipeline.plan.plan import Plan
from pipeline.store.metadata_store import Done, MetadataStore, is_live, properties


def cached_nodes(plan: Plan, store: MetadataStore) -> dict[str, Done]:
    """Finds the nodes whose results a run would take from the cache.

    A node is cached where an earlier execution of it had the same parameters and the same input
    artifacts, and its outputs still exist. Whatever reads the output of a node that would run would
    run too.

    Args:
        plan: What would be run.
        store: What was run.

    Returns:
        Node id → the execution whose outputs would be used.
    """
    cached: dict[str, Done] = {}
    for node in plan.nodes:
        if all(source.node in cached for source in node.inputs.values()):
            match = _match(node, cached, store)
            if match is not None:
                cached[node.id] = match
    return cached


def _match(node: Node, cached: dict[str, Done], store: MetadataStore) -> Done | None:
    wanted_inputs = {
        key: [artifact.id for artifact in cached[source.node].outputs.get(source.key, [])]
        for key, source in node.inputs.items()
    }
    for done in store.done(node.id):
        same = done.inputs == wanted_inputs and all(
            done.parameters.get(name) == value for name, value in node.parameters.items()
        )
        artifacts = [artifact for found in done.outputs.values() for artifact in found]
        if not same or not artifacts or not all(is_live(artifact) for artifact in artifacts):
            continue
        if node.id == PUSHER and not is_current_push(artifacts[0], push_directory(node)):
            return None
        return done
    return None


def push_directory(pusher: Node) -> str:
    """Where a plan's Pusher pushes to."""
    return json.loads(str(pusher.parameters["push_destination"]))["filesystem"]["base_directory"]


def newest_version(directory: str) -> str | None:
    """The pushed version that a model server would load: the folder with the highest number."""
    try:
        versions = [path.name for path in Path(directory).iterdir() if path.name.isdecimal()]
    except OSError:
        return None
    return max(versions, key=int, default=None)


def is_current_push(pushed_model: Any, directory: str) -> bool:
    """Whether what a `PushedModel` artifact says is still so.

    It is not where the version was removed, or where another model was pushed since: going back to an
    earlier winner has to push it again.
    """
    facts = properties(pushed_model)
    if not facts.get("pushed"):
        return True  # there was no winner, and nothing to keep
    destination = str(facts.get("pushed_destination", ""))
    if os.path.basename(destination) != newest_version(directory):
        return False
    recorded = facts.get(FILES)
    wanted = json.loads(str(recorded)) if recorded else digests(pushed_model.uri)
    return digests(destination) == wanted
