"""The nodes of a run that are all cached, recorded as TFX records them. Imports neither TensorFlow nor TFX.

Importing TFX takes longer than everything else that such a run does, and it would run nothing.
"""

from __future__ import annotations

import datetime
import uuid

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from components.common.base.file_hashes import ChangedFile
from pipeline.run.cache import Cached
from pipeline.store.connection import connect
from pipeline.store.reader import MARKS, PIPELINE, RUN
from pipeline.store.state import State


class CachedNodes:
    """A pipeline of which every node has run before.

    Attributes:
        run_id: Name of the run in ML Metadata: the local time.
    """

    def __init__(self, pipeline: str, url: str):
        """Writes nothing yet.

        Args:
            pipeline: Its name.
            url: URL of the metadata store, which has earlier runs.
        """
        self.run_id = datetime.datetime.now().isoformat()
        self._pipeline = pipeline
        self._url = url

    def register_run(self) -> None:
        """Creates the run's context.

        Raises:
            StoreError: If the store cannot be opened.
        """
        store = connect(self._url, write=True)
        run = metadata_store_pb2.Context(type_id=store.get_context_type(RUN).id, name=self.run_id)
        parent = store.get_context_by_type_and_name(PIPELINE, self._pipeline)
        (child_id,) = store.put_contexts([run])
        store.put_parent_contexts(
            [metadata_store_pb2.ParentContext(child_id=child_id, parent_id=parent.id)]
        )

    def launch(self, node: str, cached: Cached | None) -> tuple[State, int | None]:
        """Records that a node took the outputs of an earlier execution.

        Args:
            node: Its id.
            cached: The execution.

        Returns:
            CACHED, and the id of its execution.

        Raises:
            ChangedFile: If it no longer exists.
        """
        if cached is None:
            raise ChangedFile(f"the outputs of {node} changed after they were checked; run again")
        store = connect(self._url, write=True)
        (earlier,) = store.get_executions_by_id([cached.execution])
        execution = metadata_store_pb2.Execution(
            name=str(uuid.uuid4()),
            type_id=earlier.type_id,
            last_known_state=metadata_store_pb2.Execution.CACHED,
            properties=earlier.properties,
            custom_properties={
                name: value for name, value in earlier.custom_properties.items() if name not in MARKS
            },
        )
        contexts = [
            context for context in store.get_contexts_by_execution(earlier.id) if context.type != RUN
        ]
        contexts.append(store.get_context_by_type_and_name(RUN, self.run_id))
        execution_id, _, _ = store.put_execution(execution, _pairs(store, earlier.id), contexts)
        return State.CACHED, execution_id


def _pairs(
    store: MetadataStore, execution: int
) -> list[tuple[metadata_store_pb2.Artifact, metadata_store_pb2.Event]]:
    """Inputs and outputs of an execution, with events that can be those of another."""
    events = store.get_events_by_execution_ids([execution])
    artifacts = {a.id: a for a in store.get_artifacts_by_id([event.artifact_id for event in events])}
    return [
        (
            artifacts[event.artifact_id],
            metadata_store_pb2.Event(artifact_id=event.artifact_id, type=event.type, path=event.path),
        )
        for event in events
    ]
