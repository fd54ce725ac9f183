"""Artifacts that are needed by a pushed model, or by a run that is kept."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from components.common.base.errors import ParedownError
from components.common.base.near_names import nearest
from pipeline.gc.snapshot import Snapshot
from pipeline.store.records import Run
from pipeline.store.state import State


class GarbageError(ParedownError):
    """Garbage that cannot be collected; the text says why and what to do."""


@dataclass(frozen=True)
class KeepRules:
    """The runs to keep, besides those in progress.

    Attributes:
        last: This many of the newest runs of each pipeline.
        since: Runs that began then or later; aware of its time zone.
        runs: Ids of runs.
        pipeline: Remove only what this pipeline made; None for all.
    """

    last: int = 3
    since: datetime | None = None
    runs: tuple[str, ...] = ()
    pipeline: str | None = None


@dataclass(frozen=True)
class Need:
    """Why artifacts are needed.

    Attributes:
        why: The reason.
        run: Id of the run that it is about; empty if it is not about a run.
        artifacts: Ids of what is needed, with all that it was made from.
    """

    why: str
    run: str
    artifacts: frozenset[int]


def needs(snapshot: Snapshot, rules: KeepRules) -> list[Need]:
    """All reasons to keep something: pushed versions, then runs, each newest first.

    Args:
        snapshot: What the store holds.
        rules: Which runs are kept.

    Raises:
        GarbageError: If the rules name a run that does not exist.
    """
    found = [
        *_pushed(snapshot),
        *((why, run.id, _artifacts_of(snapshot, run)) for run, why in _kept_runs(snapshot, rules)),
        ("used outside of any run", "", _used_elsewhere(snapshot)),
    ]
    return [Need(why, run, frozenset(snapshot.upstream(ids))) for why, run, ids in found if ids]


def may_go_on(run: Run) -> bool:
    """Whether a run is in progress, or is on another machine and has not said how it ended."""
    return run.status == State.RUNNING or (run.recorded and run.status == State.UNFINISHED)


def _pushed(snapshot: Snapshot) -> Iterator[tuple[str, str, set[int]]]:
    """Pushed versions that still exist, or that cannot be seen from here."""
    for artifact_id in sorted(snapshot.artifacts, reverse=True):
        facts = snapshot.artifacts[artifact_id].properties
        destination = str(facts.get("pushed_destination", ""))
        if not (facts.get("pushed") and destination):
            continue
        is_remote = not destination.startswith("/") or snapshot.made_elsewhere(artifact_id)
        if is_remote or os.path.isdir(destination):
            run = snapshot.made_in(artifact_id)
            yield f"pushed to {destination}", run.id if run else "", {artifact_id}


def _kept_runs(snapshot: Snapshot, rules: KeepRules) -> Iterator[tuple[Run, str]]:
    known = [run.id for run in snapshot.runs]
    for name in rules.runs:
        if name not in known:
            raise GarbageError(
                f"there is no run {name!r}{nearest(name, known)}; `paredown runs` lists them"
            )
    places: Counter[str] = Counter()
    for run in snapshot.runs:
        places[run.pipeline] += 1
        why = _why_kept(run, places[run.pipeline], rules)
        if why:
            yield run, why


def _why_kept(run: Run, place: int, rules: KeepRules) -> str:
    if may_go_on(run):
        return (
            "run is in progress"
            if run.status == State.RUNNING
            else "run may be in progress on another machine"
        )
    if run.id in rules.runs:
        return "run is named"
    if place <= rules.last:
        return f"run is one of the last {rules.last} of {run.pipeline}"
    if rules.since is not None and run.started >= rules.since:
        return f"run began since {rules.since:%Y-%m-%d %H:%M}"
    return ""


def _artifacts_of(snapshot: Snapshot, run: Run) -> set[int]:
    """Artifacts that a run made, read, or took from the cache."""
    executions = [i for i, other in snapshot.run_of.items() if other.context_id == run.context_id]
    return {artifact for i in executions for artifact in snapshot.linked.get(i, ())}


def _used_elsewhere(snapshot: Snapshot) -> set[int]:
    """Artifacts of executions without a run: another program recorded them, for unknown reasons."""
    return {
        artifact
        for execution, artifacts in snapshot.linked.items()
        if execution not in snapshot.executions
        for artifact in artifacts
    }
