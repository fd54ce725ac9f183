"""Which nodes of a plan are already done, by the rules of TFX's cache."""

from __future__ import annotations

import json
import os
from pathlib import Path

from components.common.base.file_hashes import FILES, digests
from pipeline.config.config_file import ConfigFile
from pipeline.config.metadata_url import StoreError
from pipeline.config.problem import ConfigError
from pipeline.plan.node import PUSHER, Node
from pipeline.plan.plan import Plan
from pipeline.store.reader import Reader, open_reader
from pipeline.store.records import Artifact, by_key
from pipeline.store.state import State


def cached_ids(file: ConfigFile, plan: Plan) -> set[str]:
    """Ids of the nodes whose results a run would take from the cache.

    Raises:
        ConfigError: If the metadata store cannot be opened.
    """
    try:
        reader = open_reader(file.config.metadata_url)
    except StoreError as error:
        raise ConfigError([file.problem(("run", "metadata"), str(error))]) from error
    return cached_nodes(plan, reader)


def cached_nodes(plan: Plan, reader: Reader | None) -> set[str]:
    """Finds the nodes whose results a run would take from the cache.

    A node is cached if an earlier execution of it had the same parameters and the same input artifacts,
    and its outputs still exist. What reads the output of a node that would run would run, too.

    Args:
        plan: What would be run.
        reader: Of the store with the earlier runs; None if there is no store yet.

    Returns:
        Ids of nodes.
    """
    cached: dict[str, dict[str, list[int]]] = {}
    if reader is not None:
        for node in plan.nodes:
            if all(source.node in cached for source in node.inputs.values()):
                inputs = {
                    key: cached[source.node].get(source.key, []) for key, source in node.inputs.items()
                }
                outputs = _cached_outputs(reader, plan.name, node, inputs)
                if outputs is not None:
                    cached[node.id] = outputs
    return set(cached)


def _cached_outputs(
    reader: Reader, pipeline: str, node: Node, inputs: dict[str, list[int]]
) -> dict[str, list[int]] | None:
    """Output key → ids of the artifacts that TFX would take; None if the node would run.

    Executions that took cached outputs are passed over: ML Metadata does not have all of their parameters,
    and the store also has the execution that made the outputs.
    """
    for execution in reader.executions_of_node(pipeline, node.id):
        known = execution.properties
        if execution.state is not State.RAN or any(
            known.get(name) != value for name, value in node.parameters.items()
        ):
            continue
        edges = reader.edges_of_executions([execution.id])
        outputs = by_key(edges, output=True)
        if by_key(edges, output=False) != inputs or not outputs:
            continue
        artifacts = reader.artifacts(i for ids in outputs.values() for i in ids)
        if not all(artifact.live for artifact in artifacts):
            continue
        if node.id == PUSHER and not is_current_push(artifacts[0], push_directory(node)):
            return None
        return outputs
    return None


def push_directory(pusher: Node) -> str:
    """The folder that a plan's Pusher pushes to."""
    return json.loads(str(pusher.parameters["push_destination"]))["filesystem"]["base_directory"]


def newest_version(directory: str) -> str | None:
    """The pushed version that a model server would load: the folder with the highest number."""
    try:
        versions = [path.name for path in Path(directory).iterdir() if path.name.isdecimal()]
    except OSError:
        return None
    return max(versions, key=int, default=None)


def is_current_push(pushed_model: Artifact, directory: str) -> bool:
    """Whether what a `PushedModel` artifact says is still true.

    It is not if the version was removed, or if another model was pushed since: going back to an earlier
    winner has to push it again.
    """
    facts = pushed_model.properties
    if not facts.get("pushed"):
        return True  # there was no winner, and nothing to keep
    destination = str(facts.get("pushed_destination", ""))
    if os.path.basename(destination) != newest_version(directory):
        return False
    recorded = facts.get(FILES)
    wanted = json.loads(str(recorded)) if recorded else digests(pushed_model.uri)
    return digests(destination) == wanted
