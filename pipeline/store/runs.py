"""Runs, as the metadata store knows them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from pipeline.base.process import Process
from pipeline.store.metadata_store import properties

PUSHED, NONE_PASSED, FAILED = "pushed", "no candidate passed", "failed"
INTERRUPTED, RUNNING, UNFINISHED = "interrupted", "running", "unfinished"
STATUSES = (PUSHED, NONE_PASSED, FAILED, INTERRUPTED, RUNNING, UNFINISHED)


@dataclass(frozen=True)
class NodeRun:
    """How a node went in a run.

    Attributes:
        state: `started`, `ran`, `cached` or `failed`.
        seconds: Wall-clock time.
        execution: Id of its execution in the store; None where it never got one.
    """

    state: str
    seconds: float
    execution: int | None


@dataclass(frozen=True)
class Run:
    """A run of a pipeline.

    Attributes:
        id: Name of its context in ML Metadata: the time at which it began, in local time.
        pipeline: Name of the config.
        context_id: Of its context.
        started: In UTC.
        finished: In UTC; None where it did not say.
        status: One of STATUSES. `unfinished` is a run on another host that has not said how it ended.
        recorded: Whether Paredown left a record; where it did not (an older run, another tool's) only
            what executions tell is known, and texts are empty.
        winner: The selected candidate; None where there is none.
        pushed: Folder of the version that stood pushed at the end.
        pushed_now: Whether this run pushed it.
        ran, cached, failed: Numbers of nodes.
        nodes: Node id → how it went, in order; empty where nothing was recorded.
    """

    id: str
    pipeline: str
    context_id: int
    started: datetime
    finished: datetime | None
    status: str
    recorded: bool = True
    config_path: str = ""
    config_hash: str = ""
    environment_hash: str = ""
    data_hash: str = ""
    git_commit: str = ""
    git_dirty: bool = False
    seed: int | None = None
    version: str = ""
    winner: str | None = None
    pushed: str | None = None
    pushed_now: bool = False
    ran: int = 0
    cached: int = 0
    failed: int = 0
    failed_node: str | None = None
    reason: str = ""
    exit_code: int | None = None
    nodes: dict[str, NodeRun] = field(default_factory=dict)


def list_runs(
    store: Any,
    pipeline: str | None = None,
    status: str | None = None,
    since: datetime | None = None,
    limit: int | None = None,
) -> list[Run]:
    """Runs of a store, newest first.

    Args:
        store: ml_metadata's MetadataStore.
        pipeline: Only those of this pipeline.
        status: Only those with this status.
        since: Only those that began then or later; aware of its time zone.
        limit: No more than this many.
    """
    contexts = _newest_contexts(store, limit) if pipeline is status is since is None else None
    if contexts is None:
        contexts = store.get_contexts_by_type("pipeline_run")
        contexts.sort(key=lambda context: context.id, reverse=True)
    found: list[Run] = []
    for context in contexts:
        if limit is not None and len(found) >= limit:
            break
        if since is not None and _created(context) < since:
            break
        if not _may_be(context, pipeline, status):
            continue
        run = _read(store, context)
        if (pipeline is None or run.pipeline == pipeline) and (status is None or run.status == status):
            found.append(run)
    return found


def _may_be(context: Any, pipeline: str | None, status: str | None) -> bool:
    """Whether a context can be a run that is looked for, told without reading all of its record."""
    facts = context.custom_properties
    if "status" not in facts:
        return True
    ended = facts["status"].string_value
    return (pipeline is None or facts["pipeline"].string_value == pipeline) and (
        status is None or status == ended or ended == RUNNING
    )


def _newest_contexts(store: Any, limit: int | None) -> list[Any] | None:
    """Contexts of the newest runs, without reading those of all; None where that does not do.

    ML Metadata lists the newest contexts of all types, not of one.
    """
    from ml_metadata import ListOptions, OrderByField

    if limit is None:
        return None
    asked = 100 * limit
    newest = store.get_contexts(ListOptions(limit=asked, order_by=OrderByField.ID, is_asc=False))
    run_type = _type_id(store)
    found = [context for context in newest if context.type_id == run_type]
    return found if len(found) >= limit or len(newest) < asked else None


def began_with_records(store: Any) -> bool:
    """Whether already the first run in a store left a record, so that all have."""
    from ml_metadata import ListOptions, OrderByField

    oldest = store.get_contexts(ListOptions(limit=200, order_by=OrderByField.ID, is_asc=True))
    run_type = _type_id(store)
    return any("status" in c.custom_properties for c in oldest if c.type_id == run_type)


def _type_id(store: Any) -> int | None:
    ids = [kind.id for kind in store.get_context_types() if kind.name == "pipeline_run"]
    return ids[0] if ids else None


def find_run(store: Any, run_id: str) -> Run | None:
    """The run of an id, whole; None where there is no such run."""
    context = store.get_context_by_type_and_name("pipeline_run", run_id)
    return None if context is None else _read(store, context)


def runs_by_id(store: Any, run_ids: Iterable[str]) -> list[Run]:
    """Those of these runs that the store has, oldest first."""
    found = [find_run(store, run_id) for run_id in sorted(set(run_ids))]
    return [run for run in found if run is not None]


def documents_of(store: Any, runs: Iterable[Run]) -> dict[str, dict[str, Any]]:
    """SHA-256 → document, of the configs, environments and data of runs."""
    digests = {
        digest
        for run in runs
        for digest in (run.config_hash, run.environment_hash, run.data_hash)
        if digest
    }
    found = {digest: document(store, digest) for digest in sorted(digests)}
    return {digest: content for digest, content in found.items() if content is not None}


def runs_by_context(store: Any, context_ids: Iterable[int]) -> list[Run]:
    """Runs of known contexts, newest first."""
    ids = sorted(set(context_ids))
    contexts = store.get_contexts_by_id(ids) if ids else []
    return sorted((_read(store, c) for c in contexts), key=lambda run: run.started, reverse=True)


def document(store: Any, digest: str) -> dict[str, Any] | None:
    """What a run's config, environment or data hash stands for; None where the store does not have it."""
    if not digest:
        return None
    context = store.get_context_by_type_and_name("paredown_document", digest)
    return None if context is None else json.loads(context.custom_properties["json"].string_value)


def _read(store: Any, context: Any) -> Run:
    facts = properties(context)
    if "status" not in facts:
        return _unrecorded(store, context)
    nodes = {
        name: NodeRun(node["state"], node["seconds"], node["execution"])
        for name, node in json.loads(facts.get("nodes", "{}")).items()
    }
    return Run(
        id=context.name,
        pipeline=facts["pipeline"],
        context_id=context.id,
        started=_time(facts["started"]) or _created(context),
        finished=_time(facts.get("finished")),
        status=_status(facts),
        config_path=facts["config_path"],
        config_hash=facts["config_hash"],
        environment_hash=facts["environment_hash"],
        data_hash=facts["data_hash"],
        git_commit=facts["git_commit"],
        git_dirty=bool(facts["git_dirty"]),
        seed=facts["seed"],
        version=facts["version"],
        winner=facts.get("winner") or None,
        pushed=facts.get("pushed") or None,
        pushed_now=bool(facts.get("pushed_now")),
        ran=facts["nodes_ran"],
        cached=facts["nodes_cached"],
        failed=facts["nodes_failed"],
        failed_node=facts.get("failed_node"),
        reason=facts.get("reason", ""),
        exit_code=facts.get("exit_code"),
        nodes=nodes,
    )


def _status(facts: dict[str, Any]) -> str:
    status = str(facts["status"])
    if status != RUNNING:
        return status
    process = Process(facts["host"], facts["pid"], facts["process_started"])
    if not process.is_here():
        return UNFINISHED
    return RUNNING if process.is_alive() else INTERRUPTED


def _unrecorded(store: Any, context: Any) -> Run:
    """What executions tell of a run that left no record."""
    executions = store.get_executions_by_context(context.id)
    states = Counter(execution.last_known_state for execution in executions)
    kind = type(executions[0]) if executions else None
    ran = states[kind.COMPLETE] if kind else 0
    cached = states[kind.CACHED] if kind else 0
    failed = states[kind.FAILED] if kind else 0
    winner, pushed = _outcome(store, executions)
    if failed:
        status = FAILED
    elif winner is None:
        status = UNFINISHED
    else:
        status = PUSHED if pushed else NONE_PASSED
    parents = store.get_parent_contexts_by_context(context.id)
    ended = max((execution.last_update_time_since_epoch for execution in executions), default=0)
    return Run(
        id=context.name,
        pipeline=parents[0].name if parents else "",
        context_id=context.id,
        started=_created(context),
        finished=_from_epoch(ended) if ended and status != UNFINISHED else None,
        status=status,
        recorded=False,
        winner=winner or None,
        pushed=pushed,
        ran=ran,
        cached=cached,
        failed=failed,
    )


def _outcome(store: Any, executions: list[Any]) -> tuple[str | None, str | None]:
    """Winner and pushed folder: the winner is None where no Selector came to an end, else maybe empty."""
    ids = [execution.id for execution in executions]
    events = store.get_events_by_execution_ids(ids) if ids else []
    outputs = sorted({event.artifact_id for event in events if event.type == event.OUTPUT})
    winner = pushed = None
    for artifact in store.get_artifacts_by_id(outputs) if outputs else []:
        facts = properties(artifact)
        if "winner" in facts:
            winner = str(facts["winner"])
        if facts.get("pushed"):
            pushed = str(facts["pushed_destination"])
    return winner, pushed


def _created(context: Any) -> datetime:
    return _from_epoch(context.create_time_since_epoch)


def _from_epoch(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
