"""Reads a metadata store as runs, executions and artifacts. Everything that reads a store does so here."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from pipeline.store.connection import MissingDatabase, connect, exists, open_tables
from pipeline.store.records import Artifact, Edge, Execution, Run, by_key
from pipeline.store.runs import of_executions, of_record
from pipeline.store.sqlite import Event, Node, SqliteStore
from pipeline.store.state import EXECUTION_STATES, State

if TYPE_CHECKING:
    from ml_metadata.metadata_store import MetadataStore

# Types of the contexts that runs, their documents and files by content are kept in.
RUN, DOCUMENT, FILE, NODE, PIPELINE = (
    "pipeline_run",
    "paredown_document",
    "paredown_file",
    "node",
    "pipeline",
)

# Custom properties in which a run marks its executions: pipeline, node and run.
MARKS = ("paredown_pipeline", "paredown_node", "paredown_run")

# ml_metadata's Event.Type: DECLARED_INPUT, INPUT and INTERNAL_INPUT; its Artifact.State: LIVE, DELETED.
_INPUTS = (2, 3, 5)
_LIVE, _DELETED = 2, 4

# Databases accept this many ids in a query.
_BATCH = 500


class Reader:
    """The content of a metadata store.

    Follows events, which every build of ml-metadata has: builds without ZetaSQL lack `get_lineage_subgraph`
    and `filter_query`.
    """

    def __init__(self, store: MetadataStore | SqliteStore):
        """Reads from a store that is open.

        Args:
            store: As `pipeline.store.connection.connect` returns it, or an SQLite file's tables.
        """
        self._store: Any = store
        self._types: dict[tuple[str, int], str] = {}

    @classmethod
    def open(cls, url: str) -> Reader:
        """Opens a store for reading.

        Args:
            url: As `run.metadata` has it.

        Raises:
            MissingDatabase: If there is no such database.
            StoreError: If the store cannot be opened for another reason; the text shows no password.
        """
        return cls(open_tables(url) or connect(url))

    # Runs

    def runs(
        self,
        pipeline: str | None = None,
        status: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
    ) -> list[Run]:
        """Runs, newest first.

        Args:
            pipeline: Only runs of this pipeline.
            status: Only runs with this status.
            since: Only runs that began then or later; aware of its time zone.
            limit: At most this many.
        """
        chosen = pipeline is not None or status is not None or since is not None
        contexts = None if chosen or limit is None else self._some_runs(limit)
        if contexts is None:
            contexts = self._store.get_contexts_by_type(RUN)
            contexts.sort(key=lambda context: context.id, reverse=True)
        found: list[Run] = []
        for context in contexts:
            if limit is not None and len(found) >= limit:
                break
            if since is not None and _created(context) < since:
                break
            if not _may_be(context, pipeline, status):
                continue
            run = self._run(context)
            if (pipeline is None or run.pipeline == pipeline) and (status is None or run.status == status):
                found.append(run)
        return found

    def run(self, run_id: str) -> Run | None:
        """The run with this complete id; None if there is no such run."""
        context = self._store.get_context_by_type_and_name(RUN, run_id)
        return None if context is None else self._run(context)

    def run_ids(self) -> list[str]:
        """Ids of all runs, sorted."""
        return sorted(context.name for context in self._store.get_contexts_by_type(RUN))

    def runs_by_id(self, run_ids: Iterable[str]) -> list[Run]:
        """The given runs that the store has, oldest first."""
        found = [self.run(run_id) for run_id in sorted(set(run_ids))]
        return [run for run in found if run is not None]

    def began_with_records(self) -> bool:
        """Whether the first run in the store left a record, which means that all did."""
        return any("status" in properties(context) for context in self._some_runs(2, newest=False) or [])

    def document(self, digest: str) -> dict[str, Any] | None:
        """The config, environment or data with this SHA-256; None if the store does not have it."""
        context = self._store.get_context_by_type_and_name(DOCUMENT, digest) if digest else None
        return None if context is None else json.loads(properties(context)["json"])

    def documents(self, runs: Iterable[Run]) -> dict[str, dict[str, Any]]:
        """SHA-256 → document, of the configs, environments, data and searches of runs."""
        digests = {d for run in runs for d in (run.config_hash, run.environment_hash, run.data_hash)}
        digests |= {run.search_hash for run in runs if run.search_hash}
        found = {digest: self.document(digest) for digest in sorted(digests)}
        return {digest: content for digest, content in found.items() if content is not None}

    # Executions

    def executions(self, ids: Iterable[int], state: State | None = None) -> list[Execution]:
        """Executions by id, of those that exist. Node and run are known of those that a run has marked.

        Args:
            ids: Which.
            state: Only executions in this state.
        """
        return [
            self._execution(proto)
            for batch in _batches(ids)
            for proto in self._store.get_executions_by_id(batch)
            if state is None or EXECUTION_STATES[proto.last_known_state] is state
        ]

    def located(self, execution: Execution) -> Execution:
        """An execution with its node and run.

        Args:
            execution: If a run has not marked it, TFX's contexts are searched, which is slow in a large
                store: SQLite has no index from executions to contexts.
        """
        if execution.node:
            return execution
        names: dict[str, str] = {}
        for context in self._contexts_of(execution.id):
            names.setdefault(self._type("context", context), context.name)
        pipeline, run = names.get(PIPELINE, ""), names.get(RUN, "")
        return dataclasses.replace(
            execution,
            pipeline=pipeline,
            node=names.get(NODE, "").removeprefix(f"{pipeline}."),
            runs=(run,) if run else (),
        )

    def _contexts_of(self, execution_id: int) -> list[Any]:
        if isinstance(self._store, SqliteStore):
            return list(self._store.get_contexts_by_execution(execution_id))
        from ml_metadata import errors

        try:
            return list(self._store.get_contexts_by_execution(execution_id))
        except errors.NotFoundError:  # it has none, as those of a notebook
            return []

    def executions_of_run(self, run: Run) -> list[Execution]:
        """Executions that were part of a run, oldest first."""
        recorded = {node.execution: name for name, node in run.nodes.items()}
        found = []
        for proto in self._store.get_executions_by_context(run.context_id):
            execution = self._execution(proto)
            if not execution.node and proto.id in recorded:
                execution = dataclasses.replace(execution, node=recorded[proto.id], pipeline=run.pipeline)
            found.append(dataclasses.replace(self.located(execution), runs=(run.id,)))
        return sorted(found, key=lambda execution: execution.id)

    def executions_of_node(self, pipeline: str, node: str) -> list[Execution]:
        """Executions of a node, newest first."""
        context = self._store.get_context_by_type_and_name(NODE, f"{pipeline}.{node}")
        protos = self._store.get_executions_by_context(context.id) if context is not None else []
        newest = sorted(protos, key=lambda proto: proto.id, reverse=True)
        return [self._execution(proto, pipeline, node) for proto in newest]

    def executions_of_nodes(self) -> Iterator[Execution]:
        """Executions of all nodes of all pipelines."""
        for context in self._store.get_contexts_by_type(NODE):
            pipeline, _, node = context.name.rpartition(".")
            for proto in self._store.get_executions_by_context(context.id):
                yield self._execution(proto, pipeline, node)

    # What executions read and made

    def edges_of_executions(self, ids: Iterable[int]) -> list[Edge]:
        """Inputs and outputs of executions."""
        return self._edges(ids, self._store.get_events_by_execution_ids)

    def edges_of_artifacts(self, ids: Iterable[int]) -> list[Edge]:
        """Executions that read artifacts, made them or took them from the cache."""
        return self._edges(ids, self._store.get_events_by_artifact_ids)

    def outputs(self, execution: int) -> dict[str, list[Artifact]]:
        """Output key → artifacts, of an execution."""
        found = by_key(self.edges_of_executions([execution]), output=True)
        return {key: self.artifacts(ids) for key, ids in found.items()}

    def _edges(self, ids: Iterable[int], events: Callable[[list[int]], list[Any]]) -> list[Edge]:
        return [
            Edge(
                event.execution_id,
                event.artifact_id,
                _key(event),
                event.type not in _INPUTS,
            )
            for batch in _batches(ids)
            for event in events(batch)
        ]

    # Artifacts

    def artifacts(self, ids: Iterable[int]) -> list[Artifact]:
        """Artifacts by id, of those that exist, in the order of their ids."""
        protos = (proto for batch in _batches(ids) for proto in self._store.get_artifacts_by_id(batch))
        return self._artifacts(protos)

    def all_artifacts(self) -> list[Artifact]:
        """All artifacts, in the order of their ids."""
        return self._artifacts(self._store.get_artifacts())

    def artifacts_of_type(self, name: str) -> list[Artifact]:
        """Artifacts of a type, e.g. `PushedModel`, oldest first."""
        return self._artifacts(self._store.get_artifacts_by_type(name))

    def artifacts_at(self, uri: str) -> list[Artifact]:
        """Artifacts whose folder is this one, oldest first."""
        return self._artifacts(self._store.get_artifacts_by_uri(uri))

    def artifacts_with_file(self, digests: Iterable[str]) -> list[Artifact]:
        """Artifacts of recorded runs that hold a file with one of these SHA-256s, oldest first."""
        found = {}
        for digest in digests:
            context = self._store.get_context_by_type_and_name(FILE, digest)
            if context is not None:
                found.update({a.id: a for a in self._store.get_artifacts_by_context(context.id)})
        return self._artifacts(found.values())

    # From ml_metadata's protos

    def _artifacts(self, protos: Iterable[Any]) -> list[Artifact]:
        found = [
            Artifact(
                id=proto.id,
                type=self._type("artifact", proto),
                uri=proto.uri,
                live=proto.state == _LIVE and os.path.exists(proto.uri),
                properties=properties(proto),
                deleted=proto.state == _DELETED,
            )
            for proto in protos
        ]
        return sorted(found, key=lambda artifact: artifact.id)

    def _execution(self, proto: Any, pipeline: str = "", node: str = "") -> Execution:
        facts = properties(proto)
        marks = [str(facts.pop(name, "")) for name in MARKS]
        marked_pipeline, marked_node, run = marks if all(marks) else ("", "", "")
        component = self._type("execution", proto)
        state = EXECUTION_STATES[proto.last_known_state]
        return Execution(
            id=proto.id,
            type=component.rpartition(".")[2],
            node=node or marked_node,
            pipeline=pipeline or marked_pipeline,
            runs=(run,) if run else (),
            state=state,
            properties=facts,
            started=_from_epoch(proto.create_time_since_epoch),
            finished=None if state is State.RUNNING else _from_epoch(proto.last_update_time_since_epoch),
            component=component,
        )

    def _type(self, kind: str, proto: Any) -> str:
        """Name of the type of an artifact, execution or context."""
        if isinstance(proto, Node):
            return proto.type
        if (kind, proto.type_id) not in self._types:
            types = getattr(self._store, f"get_{kind}_types")()
            self._types.update({(kind, known.id): known.name for known in types})
        return self._types[kind, proto.type_id]

    def _run(self, context: Any) -> Run:
        facts = properties(context)
        if "status" in facts:
            return of_record(context.id, context.name, _created(context), facts)
        protos = self._store.get_executions_by_context(context.id)
        executions = [self._execution(proto) for proto in protos]
        made = {e.artifact for e in self.edges_of_executions(e.id for e in executions) if e.output}
        parents = self._store.get_parent_contexts_by_context(context.id)
        pipeline = parents[0].name if parents else ""
        ended = max((proto.last_update_time_since_epoch for proto in protos), default=0)
        return of_executions(
            Run(
                id=context.name,
                pipeline=pipeline,
                context_id=context.id,
                started=_created(context),
                finished=_from_epoch(ended) if ended else None,
                status=State.UNFINISHED,
                recorded=False,
            ),
            executions,
            self.artifacts(made),
        )

    def _some_runs(self, limit: int, newest: bool = True) -> list[Any] | None:
        """Contexts of the newest or oldest runs, read without all others; None if that finds too few.

        ml_metadata lists the newest contexts of all types, not of one.
        """
        if isinstance(self._store, SqliteStore):
            return self._store.contexts(RUN, limit, newest)
        from ml_metadata import ListOptions, OrderByField

        asked = 100 * limit
        listed = self._store.get_contexts(
            ListOptions(limit=asked, order_by=OrderByField.ID, is_asc=not newest)
        )
        found = [context for context in listed if self._type("context", context) == RUN]
        return found if len(found) >= limit or len(listed) < asked else None


def _key(event: Any) -> str:
    if isinstance(event, Event):
        return event.key
    return event.path.steps[0].key if event.path.steps else ""


def open_reader(url: str) -> Reader | None:
    """Opens a store for reading; None if the file or the database does not exist, which the first run creates.

    Args:
        url: As `run.metadata` has it.

    Raises:
        StoreError: If the store cannot be opened.
    """
    try:
        return Reader.open(url) if exists(url) else None
    except MissingDatabase:
        return None


def properties(node: Any) -> dict[str, Any]:
    """Properties and custom properties of an artifact, execution or context."""
    if isinstance(node, Node):
        return dict(node.properties)
    found = {}
    for values in (node.properties, node.custom_properties):
        for name, value in values.items():
            found[name] = getattr(value, value.WhichOneof("value"))
    return found


def _may_be(context: Any, pipeline: str | None, status: str | None) -> bool:
    """Whether a context can be a run that is searched for, before all of its record is read."""
    facts = properties(context)
    if "status" not in facts:
        return True
    if pipeline is not None and facts["pipeline"] != pipeline:
        return False
    return status is None or facts["status"] in (status, State.RUNNING)


def _created(context: Any) -> datetime:
    return _from_epoch(context.create_time_since_epoch)


def _from_epoch(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)


def _batches(ids: Iterable[int]) -> Iterator[list[int]]:
    ordered = sorted(set(ids))
    for start in range(0, len(ordered), _BATCH):
        yield ordered[start : start + _BATCH]
