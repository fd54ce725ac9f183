"""The nodes of a plan that are already done: by the rules of TFX's cache, and by the content of their files."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.common.base.file_hashes import FILES, JUDGED, FileHashes, digests, from_property
from pipeline.config.config_file import ConfigFile
from pipeline.config.metadata_url import StoreError
from pipeline.config.problem import ConfigError
from pipeline.plan.node import EXAMPLE_GENS, PUSHER, Node
from pipeline.plan.plan import Plan
from pipeline.run.integrity import change
from pipeline.run.provenance import data_document
from pipeline.store.reader import Reader, open_reader
from pipeline.store.records import Artifact, by_key
from pipeline.store.state import State


def cached_ids(file: ConfigFile, plan: Plan, hashes: FileHashes | None = None) -> set[str]:
    """Ids of the nodes whose results a run would take from the cache.

    Args:
        file: The config.
        plan: What would be run.
        hashes: What is known of files; nothing by default.

    Raises:
        ConfigError: If the metadata store cannot be opened.
    """
    try:
        reader = open_reader(file.config.metadata_url)
    except StoreError as error:
        raise ConfigError([file.problem(("run", "metadata"), str(error))]) from error
    found = hashes or FileHashes()
    return cached_nodes(plan, reader, found, lambda: data_document(file.config, found).digest)


def cached_nodes(
    plan: Plan, reader: Reader | None, hashes: FileHashes, data_hash: Callable[[], str]
) -> set[str]:
    """Finds the nodes whose results a run would take from the cache; see `Cache`.

    Nodes that read the output of a node that would run would run, too.

    Args:
        plan: What would be run.
        reader: Reader of the store with the earlier runs; None if there is no store yet.
        hashes: Hashes of files.
        data_hash: Returns the SHA-256 of the data; is called once at most.

    Returns:
        Ids of nodes.
    """
    if reader is None:
        return set()
    cache = Cache(plan.name, hashes, data_hash)
    cached: dict[str, dict[str, list[int]]] = {}
    for node in plan.nodes:
        if node.id not in plan.again and all(source.node in cached for source in node.inputs.values()):
            inputs = {key: cached[source.node].get(source.key, []) for key, source in node.inputs.items()}
            found = cache.find(reader, node, inputs)
            if found is not None:
                cached[node.id] = found.outputs
    return set(cached)


@dataclass(frozen=True)
class Cached:
    """An earlier execution whose outputs may be used again.

    Attributes:
        execution: Its id.
        outputs: Output key → ids of the artifacts.
    """

    execution: int
    outputs: dict[str, list[int]]


class Cache:
    """The outputs of earlier executions that may be used again.

    They may if the execution had the same parameters and the same input artifacts, which is TFX's rule, and if every
    file is as the node left it. Examples must have been read from data of the same content, and a push must still be
    the newest version.
    """

    def __init__(self, pipeline: str, hashes: FileHashes, data_hash: Callable[[], str]):
        """Reads nothing yet.

        Args:
            pipeline: Name of the pipeline.
            hashes: Hashes of files.
            data_hash: Returns the SHA-256 of the data that the pipeline reads.
        """
        self._pipeline = pipeline
        self._hashes = hashes
        self._data_hash = functools.cache(data_hash)

    def find(
        self,
        reader: Reader,
        node: Node,
        inputs: Mapping[str, Sequence[int]],
        unusable: Callable[[str], None] = lambda why: None,
    ) -> Cached | None:
        """The execution whose outputs a run would take; None if the node would run.

        Executions that took cached outputs are passed over: ML Metadata does not have all of their parameters,
        and the store also has the execution that made the outputs.

        Args:
            reader: Reader of the metadata store.
            node: The node.
            inputs: Input key → ids of its artifacts.
            unusable: Called with the reason if TFX's cache would have taken outputs that must not be used.
        """
        for execution in reader.executions_of_node(self._pipeline, node.id):
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
            # TFX would take this one: if it must not be used, the node runs.
            why = self._unusable(node, artifacts)
            if why:
                unusable(why)
                return None
            return Cached(execution.id, outputs)
        return None

    def _unusable(self, node: Node, artifacts: Sequence[Artifact]) -> str:
        if node.id == PUSHER and not is_current_push(artifacts[0], push_directory(node)):
            return "the pushed version is not the newest, or was changed"
        if node.id in EXAMPLE_GENS.values() and any(
            artifact.properties.get("data_hash") != self._data_hash() for artifact in artifacts
        ):
            return "the content of the data changed"
        return next(filter(None, (change(artifact, self._hashes) for artifact in artifacts)), "")


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
    wanted = pushed_files(facts)
    return wanted is not None and digests(destination) == wanted


def pushed_files(facts: Mapping[str, object]) -> dict[str, str] | None:
    """SHA-256 of the files that were judged, or if that was not recorded, pushed; None if neither was."""
    return from_property(facts.get(JUDGED)) or from_property(facts.get(FILES))
