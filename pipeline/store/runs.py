"""A run, from the record that it left in the store or from what its executions show."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from pipeline.base.process import Process
from pipeline.store.records import Artifact, Execution, FailureCause, NodeFailure, NodeRun, Run
from pipeline.store.state import State


def of_record(context_id: int, run_id: str, created: datetime, facts: Mapping[str, Any]) -> Run:
    """A run that left a record.

    Args:
        context_id: Id of its context.
        run_id: Name of its context.
        created: When the context was created.
        facts: Custom properties of the context, as `pipeline.run.record` writes them.
    """
    status = _status(facts)
    return Run(
        id=run_id,
        pipeline=facts["pipeline"],
        context_id=context_id,
        started=_time(facts["started"]) or created,
        finished=_time(facts.get("finished")),
        status=status,
        host=str(facts.get("host", "")),
        config_path=facts["config_path"],
        directory=str(facts.get("directory", "")),
        config_hash=facts["config_hash"],
        environment_hash=facts["environment_hash"],
        data_hash=facts["data_hash"],
        search_hash=str(facts.get("search_hash", "")),
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
        cause=next((cause for cause in FailureCause if cause.value == facts.get("cause")), None),
        exit_code=facts.get("exit_code"),
        nodes={
            name: NodeRun(_node_state(node["state"], status), node["seconds"], node["execution"])
            for name, node in json.loads(facts.get("nodes", "{}")).items()
        },
        failures=tuple(
            NodeFailure(**{**failure, "candidates": tuple(failure["candidates"])})
            for failure in json.loads(facts.get("failures", "[]"))
        ),
    )


def _status(facts: Mapping[str, Any]) -> State:
    status = State(facts["status"])
    if status is not State.RUNNING:
        return status
    process = Process(facts["host"], facts["pid"], facts["process_started"])
    if not process.is_here():
        return State.UNFINISHED
    return State.RUNNING if process.is_alive() else State.INTERRUPTED


def _node_state(text: str, run: State) -> State:
    """How a node went; one that was running when its run ended was interrupted."""
    state = State(text)
    if state is State.RUNNING and run not in (State.RUNNING, State.UNFINISHED):
        return State.INTERRUPTED
    return state


def of_executions(run: Run, executions: Iterable[Execution], made: Iterable[Artifact]) -> Run:
    """A run that left no record.

    Args:
        run: What its context shows.
        executions: Its executions.
        made: What they made or took from the cache.
    """
    states = Counter(execution.state for execution in executions)
    winner = pushed = None
    for artifact in made:
        if "winner" in artifact.properties:
            winner = str(artifact.properties["winner"])
        if artifact.properties.get("pushed"):
            pushed = str(artifact.properties["pushed_destination"])
    if states[State.FAILED]:
        status = State.FAILED
    elif winner is None:  # no Selector finished
        status = State.UNFINISHED
    else:
        status = State.PUSHED if pushed else State.NONE_PASSED
    return dataclasses.replace(
        run,
        finished=None if status is State.UNFINISHED else run.finished,
        status=status,
        winner=winner or None,
        pushed=pushed,
        ran=states[State.RAN],
        cached=states[State.CACHED],
        failed=states[State.FAILED],
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
