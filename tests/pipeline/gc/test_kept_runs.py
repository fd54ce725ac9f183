"""Which runs are kept, by number, name and time."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from pipeline.gc.needs import GarbageError, KeepRules
from tests.pipeline.gc.collecting import LAST_ONE, artifacts, plan, remove
from tests.pipeline.run_history import History


@pytest.fixture
def runs(history: History) -> dict[str, int]:
    """Five runs with a model of their own: run id → model."""
    return {
        name: history.execute(history.run(name), "Trainer", {}, {"model": "Model"})["model"]
        for name in ("run-1", "run-2", "run-3", "run-4", "run-5")
    }


def test_the_last_runs_are_kept_three_unless_said_otherwise(history: History, runs: dict[str, int]) -> None:
    assert artifacts(plan(history, KeepRules())) == {runs["run-1"], runs["run-2"]}
    assert artifacts(plan(history, KeepRules(last=4))) == {runs["run-1"]}
    assert artifacts(plan(history, KeepRules(last=0))) == set(runs.values())


def test_named_runs_and_those_since_a_time_are_kept(history: History, runs: dict[str, int]) -> None:
    named = KeepRules(last=1, runs=("run-2",))
    assert artifacts(plan(history, named)) == {runs["run-1"], runs["run-3"], runs["run-4"]}
    started = {run.id: run.started for run in history.reader.runs()}
    since = KeepRules(last=0, since=started["run-3"])
    expected = {runs[name] for name, at in started.items() if at < started["run-3"]}
    assert artifacts(plan(history, since)) == expected
    late = KeepRules(last=0, since=datetime(2999, 1, 1, tzinfo=timezone.utc))
    assert artifacts(plan(history, late)) == set(runs.values())


def test_a_run_that_is_not_there_is_refused(history: History, runs: dict[str, int]) -> None:
    with pytest.raises(GarbageError) as refused:
        plan(history, KeepRules(runs=("run-1", "run-33")))
    assert str(refused.value) == (
        "there is no run 'run-33'; did you mean 'run-3'?; `paredown runs` lists them"
    )


def test_runs_are_counted_for_each_pipeline_of_a_store(history: History, tmp_path: Path) -> None:
    other = History(tmp_path / "other", pipeline="other", store=history.store)
    made = {}
    for name in ("run-1", "run-2"):
        made[f"small {name}"] = history.execute(history.run(name), "Trainer", {}, {"model": "Model"})[
            "model"
        ]
    for name in ("run-3", "run-4"):
        made[f"other {name}"] = other.execute(other.run(name), "Trainer", {}, {"model": "Model"})["model"]
    assert artifacts(plan(history, LAST_ONE)) == {made["small run-1"], made["other run-3"]}
    only = KeepRules(last=1, pipeline="other")
    assert artifacts(plan(history, only)) == {made["other run-3"]}
    assert plan(history, only).roots == (str(other.root),)
    removal = remove(history, only)
    assert not (other.root / "Trainer" / "model" / "3").exists()
    assert removal.plan.notes == ()
    assert history.folder(made["small run-1"]).exists()


def test_runs_from_before_records_are_kept_and_collected_alike(history: History) -> None:
    made = [
        history.execute(history.run(name, status=None), "convert", {}, {"model": "Model"})["model"]
        for name in ("run-1", "run-2")
    ]
    assert artifacts(plan(history, LAST_ONE)) == {made[0]}
