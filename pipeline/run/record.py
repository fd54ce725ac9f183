"""The record that a run writes about itself into ML Metadata, from before its first node to its end.

Custom properties of TFX's own `pipeline_run` context say what was run and how it ended. What many runs
have in common (the config as resolved, the environment, the data's files) is in the store once, in a
context of type `paredown_document` named by the content's SHA-256. Artifacts that hold model files are
attributed to contexts of type `paredown_file`, named by the files' SHA-256: the index that finds a model
by its content.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import Any, TypeVar, cast

from ml_metadata import errors
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from components.common.base.file_hashes import CONTENT, FILES, FileHashes, as_property, from_property
from pipeline.base.process import Process, this_process
from pipeline.run.provenance import Provenance, summary
from pipeline.store.connection import connect, reporting
from pipeline.store.reader import DOCUMENT, FILE, MARKS, RUN
from pipeline.store.records import Artifact, NodeFailure
from pipeline.store.state import State

# SHA-256 of what a model was imported from, or began its training with.
SOURCES = ("source_sha256", "pretrained_sha256")

Facts = dict[str, str | int | float]


Method = TypeVar("Method", bound=Callable[..., None])


def _reported(method: Method) -> Method:
    """Says in one sentence why a store cannot be written to; see `reporting`."""

    @functools.wraps(method)
    def call(record: RunRecord, *arguments: Any, **named: Any) -> None:
        with reporting(record.url):
            method(record, *arguments, **named)

    return cast(Method, call)


class RunRecord:
    """One run's record in the store; each method writes at once, so that the record is true if the run is killed."""

    def __init__(self, url: str, run_id: str, provenance: Provenance):
        """Writes what is known at the start.

        Args:
            url: The store's.
            run_id: Name of the run's context, which TFX has made.
            provenance: What the run is made of.
        """
        self.url = url
        self._run_id = run_id
        self._pipeline = provenance.pipeline
        self._nodes: dict[str, dict[str, Any]] = {}
        self._failures: list[dict[str, Any]] = []
        store = connect(url, write=True)
        for document in provenance.documents():
            _put_named(store, DOCUMENT, document.digest, {"kind": document.kind, "json": document.text})
        self._data_hash = provenance.data.digest
        self._write(store, opening(provenance, this_process(), datetime.now(timezone.utc)))

    @_reported
    def node(self, node_id: str, state: State, seconds: float, execution: int | None) -> None:
        """Records that a node began or ended.

        Args:
            node_id: The node's.
            state: How it is going, or went.
            seconds: Since it began.
            execution: Id of its execution, if there is one.
        """
        self._nodes[node_id] = {"state": state.value, "seconds": round(seconds, 3), "execution": execution}
        store = connect(self.url, write=True)
        self._write(store, node_facts(self._nodes))
        if execution is not None:
            self._mark(store, execution, node_id)

    def _mark(self, store: MetadataStore, execution_id: int, node_id: str) -> None:
        """Writes its node and run on an execution.

        Its contexts say so, too, but SQLite has no index from executions to contexts: looking them up scans the
        whole store each time.
        """
        for execution in store.get_executions_by_id([execution_id]):
            set_facts(execution, execution_facts(self._pipeline, node_id, self._run_id))
            store.put_executions([execution])

    @_reported
    def contents(self, artifacts: Iterable[Artifact], hashes: FileHashes) -> None:
        """Records what a node's output artifacts hold, with which they are compared later.

        It is part of TFX's cache key of the nodes that read them: write it before one does, and never again.
        """
        store = connect(self.url, write=True)
        for artifact in store.get_artifacts_by_id([found.id for found in artifacts]):
            set_facts(artifact, {CONTENT: as_property(hashes.of_folder(artifact.uri))})
            store.put_artifacts([artifact])

    @_reported
    def failure(self, failure: NodeFailure) -> None:
        """Records a node that failed while the run goes on."""
        self._failures.append(dataclasses.asdict(failure))
        self._write(connect(self.url, write=True), {"failures": json.dumps(self._failures)})

    @_reported
    def outputs(self, artifacts: Iterable[Artifact]) -> None:
        """Makes a node's output artifacts findable by the content of their files."""
        store = connect(self.url, write=True)
        for artifact in artifacts:
            for digest in sorted(set(_files(artifact).values())):
                context = _put_named(store, FILE, digest, {})
                _attribute(store, artifact.id, context)

    @_reported
    def examples(self, artifacts: Iterable[Artifact]) -> None:
        """Links examples to the data files that they were read from."""
        store = connect(self.url, write=True)
        for artifact in store.get_artifacts_by_id([found.id for found in artifacts]):
            artifact.custom_properties["data_hash"].string_value = self._data_hash
            store.put_artifacts([artifact])
            context = store.get_context_by_type_and_name(DOCUMENT, self._data_hash)
            _attribute(store, artifact.id, context.id)

    @_reported
    def finish(self, status: State, exit_code: int, **facts: str | int) -> None:
        """Records how the run ended.

        Args:
            status: PUSHED, NONE_PASSED, FAILED or INTERRUPTED.
            exit_code: Exit code of the command.
            facts: `winner`, `pushed`, `pushed_now`, `failed_node`, `reason`, `cause`.
        """
        ended = closing(status, exit_code, datetime.now(timezone.utc), **facts)
        self._write(connect(self.url, write=True), ended)

    def _write(self, store: MetadataStore, values: Facts) -> None:
        context = store.get_context_by_type_and_name(RUN, self._run_id)
        set_facts(context, values)
        store.put_contexts([context])


def opening(provenance: Provenance, process: Process, at: datetime) -> Facts:
    """The properties of a run's context from the start."""
    return {
        **summary(provenance),
        "host": process.host,
        "pid": process.pid,
        "process_started": process.started,
        "started": at.isoformat(timespec="milliseconds"),
        "status": State.RUNNING.value,
        **node_facts({}),
    }


def node_facts(nodes: dict[str, dict[str, Any]]) -> Facts:
    """The properties of a run's context about its nodes: how many ran, were cached and failed, and each node."""
    states = [node["state"] for node in nodes.values()]
    counts = {f"nodes_{state}": states.count(state) for state in (State.RAN, State.CACHED, State.FAILED)}
    return {"nodes": json.dumps(nodes), **counts}


def execution_facts(pipeline: str, node_id: str, run_id: str) -> Facts:
    """Custom properties of an execution: its pipeline, node and run."""
    return dict(zip(MARKS, (pipeline, node_id, run_id), strict=True))


def closing(status: State, exit_code: int, at: datetime, **facts: str | int) -> Facts:
    """The properties of a run's context after its end."""
    ended = at.isoformat(timespec="milliseconds")
    return {"status": status.value, "exit_code": exit_code, "finished": ended, **facts}


def set_facts(node: Any, values: Facts) -> None:
    """Sets custom properties of an artifact, execution or context (ml_metadata protos)."""
    for name, value in values.items():
        target = node.custom_properties[name]
        if isinstance(value, str):
            target.string_value = value
        elif isinstance(value, int):  # and bool
            target.int_value = int(value)
        else:
            target.double_value = value


def _files(artifact: Artifact) -> dict[str, str]:
    """SHA-256 of an artifact's model files, and of the model that it was made from if there is one."""
    known = artifact.properties
    found = from_property(known.get(FILES)) or {}
    return {**found, **{name: known[name] for name in SOURCES if known.get(name)}}


def _put_named(store: MetadataStore, type_name: str, name: str, values: Facts) -> int:
    """Makes a context unless there is one of that name; returns its id.

    Another run may make it at the same time, and databases abort one of two transactions that meet.
    """
    for attempt in range(5):
        found = store.get_context_by_type_and_name(type_name, name)
        if found is not None:
            return found.id
        context = metadata_store_pb2.Context(name=name)
        set_facts(context, values)
        try:
            context.type_id = store.put_context_type(metadata_store_pb2.ContextType(name=type_name))
            return store.put_contexts([context])[0]
        except (errors.AlreadyExistsError, errors.AbortedError):
            time.sleep(0.1 * 2**attempt)
    found = store.get_context_by_type_and_name(type_name, name)
    if found is None:
        raise RuntimeError(f"{type_name} {name} cannot be written to the metadata store")
    return found.id


def _attribute(store: MetadataStore, artifact_id: int, context_id: int) -> None:
    attribution = metadata_store_pb2.Attribution(artifact_id=artifact_id, context_id=context_id)
    with contextlib.suppress(errors.AlreadyExistsError):  # the Selector's copy has two files of one content
        store.put_attributions_and_associations([attribution], [])
