"""Reading ML Metadata without TFX."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from pipeline.config import metadata_url
from pipeline.store.connection import MissingDatabase, open_store


@dataclass(frozen=True)
class Done:
    """A node's execution that succeeded.

    Attributes:
        id: The execution's.
        parameters: Execution properties.
        inputs: Input key → ids of artifacts.
        outputs: Output key → artifacts (ml_metadata protos).
    """

    id: int
    parameters: dict[str, Any]
    inputs: dict[str, list[int]]
    outputs: dict[str, list[Any]]


class MetadataStore:
    """What earlier runs of a pipeline left in the store. Walks events, which every ml-metadata has."""

    def __init__(self, url: str, pipeline: str):
        """Opens the store for reading.

        Args:
            url: As `run.metadata` has it; an SQLite file or a database that does not exist is an empty
                store, and is not created.
            pipeline: Name of the pipeline.
        """
        self._pipeline = pipeline
        try:
            self._store = connect(url) if exists(url) else None
        except MissingDatabase:  # which the first run will make
            self._store = None

    def executions(self, node_id: str, completed: bool = True) -> list[Any]:
        """Executions (ml_metadata protos) of a node, newest first; only those that ran to their end.

        Executions that took cached outputs are left out where `completed` is true: ML Metadata does not
        hold all parameters of those, and an execution with their outputs is there too.
        """
        if self._store is None:
            return []
        context = self._store.get_context_by_type_and_name("node", f"{self._pipeline}.{node_id}")
        if context is None:
            return []
        found = self._store.get_executions_by_context(context.id)
        if completed:
            found = [execution for execution in found if execution.last_known_state == execution.COMPLETE]
        return sorted(found, key=lambda execution: execution.id, reverse=True)

    def done(self, node_id: str) -> list[Done]:
        """A node's completed executions with inputs and outputs, newest first."""
        executions = self.executions(node_id)
        return [self.details(execution) for execution in executions]

    def details(self, execution: Any) -> Done:
        """An execution with its inputs and outputs."""
        inputs: dict[str, list[int]] = {}
        output_ids: dict[str, list[int]] = {}
        for event in self._store.get_events_by_execution_ids([execution.id]):
            key = event.path.steps[0].key if event.path.steps else ""
            side = output_ids if event.type == event.OUTPUT else inputs
            side.setdefault(key, []).append(event.artifact_id)
        ids = [i for found in output_ids.values() for i in found]
        artifacts = {a.id: a for a in self._store.get_artifacts_by_id(ids)} if ids else {}
        return Done(
            id=execution.id,
            parameters=properties(execution),
            inputs=inputs,
            outputs={key: [artifacts[i] for i in found] for key, found in output_ids.items()},
        )


def properties(node: Any) -> dict[str, Any]:
    """Properties and custom properties of an ml_metadata proto as Python values."""
    found = {}
    for values in (node.properties, node.custom_properties):
        for name, value in values.items():
            found[name] = getattr(value, value.WhichOneof("value"))
    return found


def is_live(artifact: Any) -> bool:
    """Whether an artifact is whole and its files are still there."""
    return artifact.state == artifact.LIVE and os.path.exists(artifact.uri)


def exists(url: str) -> bool:
    """Whether there may be a store: an SQLite file that is not empty, or a server's address."""
    path = metadata_url.parse(url).path
    return path is None or (os.path.exists(path) and os.path.getsize(path) > 0)


def connect(url: str, write: bool = False) -> Any:
    """Opens a store.

    Args:
        url: As `run.metadata` has it.
        write: Whether to write to it; an SQLite file is then made where there is none.

    Returns:
        ml_metadata's MetadataStore.

    Raises:
        StoreError: Where it cannot be opened; the text says why, and shows no password.
    """
    return open_store(url, readonly=not write)
