"""Walks over a store that ml_metadata's own API has written."""

from __future__ import annotations

from typing import Any

import pytest
from ml_metadata.proto import metadata_store_pb2

from pipeline.lineage import graph as lineage
from pipeline.store.reader import MARKS, Reader
from pipeline.store.state import State
from tests import many_runs

NODES = {
    "ImportExampleGen", "StatisticsGen", "SchemaGen", "AnomalyGate", "Trainer", "convert-float32", "prune",
    "convert-int8", "convert-int8-evaluate", "prune-convert-int8", "prune-convert-int8-evaluate",
    "Selector", "Pusher",
}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """22 runs: the data of the first 20 differ from those of the last two."""
    return many_runs.make(tmp_path_factory.mktemp("many"), 22).store


def pushed(store: Any, number: int) -> int:
    """Artifact that a run pushed."""
    found = store.get_artifacts_by_type("PushedModel")
    return next(a.id for a in found if a.custom_properties["pushed_version"].string_value == str(number))


def test_upstream_reaches_the_data_and_names_every_node(store: Any) -> None:
    graph = lineage.upstream(Reader(store), [pushed(store, 0)])
    assert {execution.node for execution in graph.executions.values()} == NODES
    (examples,) = (a for a in graph.artifacts.values() if a.type == "Examples")
    maker = graph.producer(examples.id)
    assert maker is not None and maker.node == "ImportExampleGen" and graph.inputs(maker.id) == {}


def test_what_was_cached_leads_to_the_run_that_made_it(store: Any) -> None:
    graph = lineage.upstream(Reader(store), [pushed(store, 7)])
    runs = {execution.node: execution.runs for execution in graph.executions.values()}
    assert runs["Trainer"] == runs["ImportExampleGen"] == ("2026-01-01T00:00:00+00:00",)
    assert runs["prune"] == runs["Pusher"] == ("2026-01-01T07:00:00+00:00",)
    assert {execution.state for execution in graph.executions.values()} == {State.RAN}


def test_edges_lead_through_a_node(store: Any) -> None:
    graph = lineage.upstream(Reader(store), [pushed(store, 3)])
    prune = next(e for e in graph.executions.values() if e.node == "prune")
    assert prune.type == "Pruner" and prune.pipeline == "nightly"
    inputs = graph.inputs(prune.id)
    assert set(inputs) == {"base_model", "examples", "schema"}
    (base,) = inputs["base_model"]
    maker = graph.producer(base.id)
    assert maker is not None and maker.node == "Trainer"
    assert prune in graph.consumers(base.id)
    ((model,),) = graph.outputs(prune.id).values()
    assert graph.producer(model.id) == prune
    assert "paredown_node" not in prune.properties and prune.properties["seed"] == 42


def test_the_walk_does_not_need_folders_named_by_executions(store: Any) -> None:
    (artifact,) = store.get_artifacts_by_id([pushed(store, 5)])
    before = lineage.upstream(Reader(store), [artifact.id])
    for other in before.artifacts.values():
        (proto,) = store.get_artifacts_by_id([other.id])
        proto.uri += "/x"
        store.put_artifacts([proto])
    try:
        after = lineage.upstream(Reader(store), [artifact.id])
    finally:
        for other in before.artifacts.values():
            (proto,) = store.get_artifacts_by_id([other.id])
            proto.uri = other.uri
            store.put_artifacts([proto])
    assert after.edges == before.edges and set(after.executions) == set(before.executions)


def test_contexts_give_node_and_run_if_executions_are_not_marked(store: Any) -> None:
    graph = lineage.upstream(Reader(store), [pushed(store, 9)])
    plain = {}
    for execution_id in graph.executions:
        (proto,) = store.get_executions_by_id([execution_id])
        plain[execution_id] = proto
        bare = type(proto)()
        bare.CopyFrom(proto)
        for name in MARKS:
            del bare.custom_properties[name]
        store.put_executions([bare])
    try:
        unmarked = lineage.upstream(Reader(store), [pushed(store, 9)])
    finally:
        store.put_executions(list(plain.values()))
    for execution_id, execution in graph.executions.items():
        other = unmarked.executions[execution_id]
        assert (other.pipeline, other.node, other.runs) == (
            execution.pipeline,
            execution.node,
            execution.runs,
        )


def test_downstream_of_data_is_all_that_was_built_from_them(store: Any) -> None:
    graph = lineage.upstream(Reader(store), [pushed(store, 21)])
    (examples,) = (a for a in graph.artifacts.values() if a.type == "Examples")
    down = lineage.downstream(Reader(store), [examples.id])
    versions = {a.properties["pushed_version"] for a in down.artifacts.values() if a.type == "PushedModel"}
    assert versions == {"20", "21"}
    # The data and the baseline were made once, by run 20; each run made the rest.
    nodes = [execution.node for execution in down.executions.values()]
    assert nodes.count("Trainer") == 1 and nodes.count("prune") == 2 and "ImportExampleGen" not in nodes
    assert down.roots == (examples.id,)


def test_failed_executions_made_nothing(store: Any) -> None:
    (artifact,) = store.get_artifacts_by_id([pushed(store, 1)])
    kind = store.get_execution_type("tfx.Pusher")
    failed = metadata_store_pb2.Execution(
        type_id=kind.id, last_known_state=metadata_store_pb2.Execution.FAILED
    )
    (failed_id,) = store.put_executions([failed])
    store.put_events(
        [
            metadata_store_pb2.Event(
                artifact_id=artifact.id, execution_id=failed_id, type=metadata_store_pb2.Event.INPUT
            )
        ]
    )
    assert lineage.downstream(Reader(store), [artifact.id]).executions == {}


def test_what_does_not_exist_has_an_empty_graph(store: Any) -> None:
    assert lineage.upstream(Reader(store), [10**6]) == lineage.Graph((), {}, {}, ())
