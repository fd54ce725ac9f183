"""Runs as read from the store, which the runner's own code has written."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ml_metadata.proto import metadata_store_pb2

from pipeline.base.process import Process, this_process
from pipeline.run import record as run_record
from pipeline.run.provenance import Document, Provenance
from pipeline.store.connection import connect
from pipeline.store.reader import Reader
from pipeline.store.records import NodeFailure, NodeRun, Run
from pipeline.store.state import State
from tests import many_runs

PROVENANCE = Provenance(
    pipeline="small",
    config_path="/project/pipeline.yaml",
    config=Document("config", '{"name": "small"}'),
    environment=Document("environment", '{"python": "3.10"}'),
    data=Document("data", '{"train": []}'),
    version="1.2",
    git_commit="abc",
    git_dirty=True,
    seed=7,
)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/metadata.sqlite"


def begin(url: str, run_id: str = "2026-11-22T10:00:00.000001") -> run_record.RunRecord:
    """A run's record, with the context that TFX makes first."""
    store = connect(url, write=True)
    kind = store.put_context_type(metadata_store_pb2.ContextType(name="pipeline_run"))
    store.put_contexts([metadata_store_pb2.Context(type_id=kind, name=run_id)])
    return run_record.RunRecord(url, run_id, PROVENANCE)


def only_run(url: str) -> Run:
    (run,) = Reader.open(url).runs()
    return run


def test_a_run_that_began_is_running_and_says_what_it_is_made_of(url: str) -> None:
    before = datetime.now(timezone.utc)
    begin(url)
    run = only_run(url)
    assert run.status == "running"
    assert run.finished is None and run.exit_code is None
    assert abs(run.started - before) < timedelta(seconds=30)
    assert (run.pipeline, run.seed, run.version, run.git_commit, run.git_dirty) == (
        "small", 7, "1.2", "abc", True,
    )  # fmt: skip
    assert run.config_hash == PROVENANCE.config.digest
    assert Reader.open(url).document(run.config_hash) == {"name": "small"}
    assert Reader.open(url).document(run.data_hash) == {"train": []}
    assert Reader.open(url).document("0" * 64) is None


def test_nodes_are_counted_while_it_runs(url: str) -> None:
    record = begin(url)
    record.node("Trainer", State.RUNNING, 0.0, None)
    record.node("Trainer", State.RAN, 1.23456, None)
    record.node("SchemaGen", State.CACHED, 0.1, None)
    record.node("prune", State.RUNNING, 0.0, None)
    run = only_run(url)
    assert (run.ran, run.cached, run.failed) == (1, 1, 0)
    assert run.nodes["Trainer"] == NodeRun(State.RAN, 1.235, None)
    assert run.nodes["prune"].state is State.RUNNING


def test_a_run_says_how_it_ended(url: str) -> None:
    begin(url).finish(State.PUSHED, 0, winner="int8", pushed="/serving/1", pushed_now=1)
    run = only_run(url)
    assert (run.status, run.exit_code, run.winner, run.pushed, run.pushed_now) == (
        "pushed", 0, "int8", "/serving/1", True,
    )  # fmt: skip
    assert run.finished is not None and run.finished >= run.started


def test_a_failed_run_names_its_node_and_why(url: str) -> None:
    record = begin(url)
    record.node("Trainer", State.FAILED, 2.0, None)
    record.finish(State.FAILED, 3, failed_node="Trainer", reason="ValueError: no")
    run = only_run(url)
    assert (run.status, run.failed, run.failed_node, run.reason) == (
        "failed",
        1,
        "Trainer",
        "ValueError: no",
    )
    assert run.winner is run.pushed is None


def test_nodes_that_fail_without_ending_the_run_are_recorded_with_their_candidates(url: str) -> None:
    record = begin(url)
    failures = (
        NodeFailure("prune", ("pruned", "pqat"), "ValueError: no", "/logs/prune.txt"),
        NodeFailure("distill", ("student",), "ValueError: ill", "/logs/distill.txt"),
    )
    for failure in failures:
        record.failure(failure)
    record.finish(State.PUSHED, 6, winner="int8")
    run = only_run(url)
    assert (run.status, run.exit_code, run.failures) == ("pushed", 6, failures)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"started": "another boot:1"}, "interrupted"),
        ({"pid": 2**22 + 1}, "interrupted"),
        ({"host": "elsewhere"}, "unfinished"),
    ],
)
def test_a_process_that_is_gone_has_left_its_run(
    url: str, change: dict[str, Any], status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Process(**{**vars(this_process()), **change})
    monkeypatch.setattr(run_record, "this_process", lambda: process)
    begin(url)
    assert only_run(url).status == status
    assert [run.status for run in Reader.open(url).runs(status=status)] == [status]
    assert Reader.open(url).runs(status="running") == []


def test_two_runs_share_the_documents_that_they_have_in_common(url: str) -> None:
    begin(url, "first")
    begin(url, "second")
    assert len(connect(url).get_contexts_by_type("paredown_document")) == 3


def test_an_execution_is_marked_with_pipeline_node_and_run(url: str) -> None:
    store = connect(url, write=True)
    kind = store.put_execution_type(metadata_store_pb2.ExecutionType(name="T"))
    execution = metadata_store_pb2.Execution(type_id=kind, last_known_state=3)
    execution.custom_properties["seed"].int_value = 7
    (execution_id,) = store.put_executions([execution])
    begin(url, "a").node("Trainer", State.RAN, 1.0, execution_id)
    (marked,) = connect(url).get_executions_by_id([execution_id])
    assert {
        name: value.string_value or value.int_value for name, value in marked.custom_properties.items()
    } == {
        "seed": 7,
        "paredown_pipeline": "small",
        "paredown_node": "Trainer",
        "paredown_run": "a",
    }
    assert marked.last_known_state == 3


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """A store with 25 runs, an hour apart."""
    return Reader(many_runs.make(tmp_path_factory.mktemp("many"), 25).store)


def test_the_newest_come_first_and_no_more_than_asked_for(many: Reader) -> None:
    ids = [run.id for run in many.runs()]
    assert len(ids) == 25 and ids == sorted(ids, reverse=True)
    assert [run.id for run in many.runs(limit=3)] == ids[:3]
    assert [run.id for run in many.runs(limit=100)] == ids


def test_counts_tell_what_was_cached(many: Reader) -> None:
    newest, *_, first = many.runs()
    assert (first.ran, first.cached) == (13, 0)
    assert (newest.ran, newest.cached) == (7, 6)


def test_runs_can_be_chosen_by_pipeline_status_and_time(many: Reader) -> None:
    assert len(many.runs(pipeline="nightly")) == 25
    assert many.runs(pipeline="other") == []
    assert many.runs(status="failed") == []
    assert len(many.runs(status="pushed", limit=4)) == 4
    assert many.runs(since=datetime.now(timezone.utc) + timedelta(days=1)) == []
    assert len(many.runs(since=datetime.now(timezone.utc) - timedelta(days=1))) == 25


def test_a_run_without_a_record_is_read_from_its_executions(url: str) -> None:
    store = connect(url, write=True)
    types = {
        name: store.put_context_type(metadata_store_pb2.ContextType(name=name))
        for name in ("pipeline", "pipeline_run")
    }
    kind = store.put_execution_type(metadata_store_pb2.ExecutionType(name="T"))
    report = store.put_artifact_type(metadata_store_pb2.ArtifactType(name="R"))
    pipeline, run = store.put_contexts(
        [
            metadata_store_pb2.Context(type_id=types["pipeline"], name="old"),
            metadata_store_pb2.Context(type_id=types["pipeline_run"], name="2025"),
        ]
    )
    store.put_parent_contexts([metadata_store_pb2.ParentContext(child_id=run, parent_id=pipeline)])
    states = metadata_store_pb2.Execution
    executions = store.put_executions(
        [
            metadata_store_pb2.Execution(type_id=kind, last_known_state=state)
            for state in (states.COMPLETE, states.COMPLETE, states.CACHED)
        ]
    )
    store.put_attributions_and_associations(
        [], [metadata_store_pb2.Association(context_id=run, execution_id=e) for e in executions]
    )
    (reported,) = Reader(store).runs()
    assert (reported.pipeline, reported.status, reported.recorded, reported.ran, reported.cached) == (
        "old", "unfinished", False, 2, 1,
    )  # fmt: skip
    artifact = metadata_store_pb2.Artifact(type_id=report)
    artifact.custom_properties["winner"].string_value = "int8"
    artifact.custom_properties["pushed"].int_value = 1
    artifact.custom_properties["pushed_destination"].string_value = "/serving/1"
    (artifact_id,) = store.put_artifacts([artifact])
    store.put_events(
        [
            metadata_store_pb2.Event(
                artifact_id=artifact_id, execution_id=executions[0], type=metadata_store_pb2.Event.OUTPUT
            )
        ]
    )
    (reported,) = Reader(store).runs()
    assert (reported.status, reported.winner, reported.pushed) == ("pushed", "int8", "/serving/1")
    assert not Reader(store).began_with_records()
