"""One node of TFX's, launched for real: it runs, is cached, runs again, and fails without its inputs."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from components.common.base.file_hashes import ChangedFile
from pipeline.plan.node import Output
from pipeline.run.cache import Cached
from pipeline.run.cached_nodes import CachedNodes
from pipeline.store.connection import connect
from pipeline.store.reader import Reader
from pipeline.store.state import State
from tests.conftest import read_records
from tests.pipeline.run.nodes import Log, plan_up_to, run_up_to

pytestmark = pytest.mark.e2e

CONFIG = """
    name: table
    data: {format: csv, path: data, splits: {train: "train*", eval: "eval*"}, label: label}
    model: {module: configs.mnist.model}
    candidates: {int8: [{convert: {quantization: int8}}]}
    gate: {accuracy: {metric: AUC, min: 0.5}}
    push: {directory: serving}
"""
EXAMPLES = "CsvExampleGen"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    for split in ("train", "eval"):
        (tmp_path / f"data/{split}.csv").write_text("x,label\n1,0\n2,1\n", encoding="utf-8")
    path = tmp_path / "pipeline.yaml"
    path.write_text(textwrap.dedent(CONFIG), encoding="utf-8")
    return path


def run(config: Path, last: str = EXAMPLES) -> Log:
    return run_up_to(config, config.parent / "root", last, f"data.path={config.parent / 'data'}")


def test_a_node_runs_once_and_is_cached_until_its_input_changes(config: Path) -> None:
    root = config.parent / "root"
    first, second = run(config), run(config)
    assert (first.states(), second.states()) == ({EXAMPLES: "ran"}, {EXAMPLES: "cached"})
    (config.parent / "data/train.csv").write_text("x,label\n1,0\n2,1\n3,1\n", encoding="utf-8")
    assert run(config).states() == {EXAMPLES: "ran"}

    reader = Reader(connect(f"sqlite:///{root}/metadata.sqlite"))
    executions = reader.executions_of_node("table", EXAMPLES)
    assert [execution.state for execution in executions] == [State.RAN, State.CACHED, State.RAN]
    assert executions[2].id == first.ended[EXAMPLES].execution
    assert executions[1].id == second.ended[EXAMPLES].execution
    assert len({run.id for run in reader.runs()}) == 3
    made, taken = (reader.outputs(execution.id)["examples"] for execution in executions[:0:-1])
    assert made == taken and made[0].live


def test_a_cell_that_spells_a_missing_value_is_an_example_without_it(config: Path) -> None:
    from tensorflow.core.example.example_pb2 import Example

    (config.parent / "data/train.csv").write_text("x,label\n1,0\nNA,1\n", encoding="utf-8")
    root = config.parent / "root"
    log = run_up_to(config, root, EXAMPLES, f"data.path={config.parent / 'data'}", "data.missing=[NA]")

    assert log.states() == {EXAMPLES: "ran"}
    (file,) = root.glob(f"{EXAMPLES}/examples/*/Split-train/*.gz")
    found = [Example.FromString(record).features.feature for record in read_records(file)]
    values = {row["label"].int64_list.value[0]: list(row["x"].int64_list.value) for row in found}
    assert values == {0: [1], 1: []}


def test_a_run_of_cached_nodes_is_recorded_as_tfx_records_it(config: Path) -> None:
    root, last = config.parent / "root", "StatisticsGen"
    first, second = run(config, last), run(config, last)
    assert set(second.states().values()) == {"cached"}
    url = f"sqlite:///{root}/metadata.sqlite"
    nodes = CachedNodes("table", url)
    nodes.register_run()
    launched = {}
    for node in (EXAMPLES, last):
        execution = first.ended[node].execution
        assert execution is not None
        launched[node] = nodes.launch(node, Cached(execution, {}))
    with pytest.raises(ChangedFile, match="the outputs of Selector changed"):
        nodes.launch("Selector", None)

    store = connect(url)
    for node in (EXAMPLES, last):
        state, execution = launched[node]
        assert state is State.CACHED and execution is not None
        taken, expected = (recorded(store, id_) for id_ in (execution, second.ended[node].execution or 0))
        # ExampleGen's driver adds what it read after TFX has looked for the properties of the execution.
        assert expected.pop("properties").items() <= taken.pop("properties").items()
        assert taken == expected


def recorded(store: Any, execution_id: int) -> dict[str, Any]:
    """What the store has of an execution, but for its run's name and times."""
    (execution,) = store.get_executions_by_id([execution_id])
    events = store.get_events_by_execution_ids([execution_id])
    contexts = store.get_contexts_by_execution(execution_id)
    (run,) = [context for context in contexts if context.type == "pipeline_run"]
    return {
        "type": execution.type,
        "state": execution.last_known_state,
        "properties": {name: str(value) for name, value in execution.custom_properties.items()},
        "events": sorted((event.artifact_id, event.type, str(event.path)) for event in events),
        "contexts": sorted((context.type, context.name) for context in contexts if context != run),
        "of the run": sorted(artifact.id for artifact in store.get_artifacts_by_context(run.id)),
        "above": [context.name for context in store.get_parent_contexts_by_context(run.id)],
    }


def test_the_cache_can_be_left_out_and_missing_inputs_are_a_failed_state(config: Path) -> None:
    from pipeline.run import build
    from pipeline.run.tfx_nodes import TfxNodes

    root = config.parent / "root"
    assert run(config).states() == {EXAMPLES: "ran"}
    plan, options = plan_up_to(
        config, "StatisticsGen", f"run.pipeline_root={root}", f"data.path={config.parent / 'data'}"
    )
    nodes = TfxNodes(build.build(plan, options), f"sqlite:///{root}/metadata.sqlite")
    nodes.register_run()
    # This run has no examples yet; TFX raises nothing.
    assert nodes.launch("StatisticsGen")[0] is State.FAILED
    state, execution = nodes.launch(EXAMPLES, use_cache=False)
    assert state is State.RAN and execution is not None
    assert plan.node("StatisticsGen").inputs == {"examples": Output(EXAMPLES, "examples")}


def test_a_failed_node_leaves_an_execution_and_no_output(config: Path) -> None:
    from pipeline.run.launcher import NodeFailed

    (config.parent / "data/eval.csv").write_text("x,label\n1,0,5\n", encoding="utf-8")
    with pytest.raises(NodeFailed) as failed:
        run(config)
    assert failed.value.node == EXAMPLES and failed.value.__cause__ is not None
    root = config.parent / "root"
    (execution,) = Reader(connect(f"sqlite:///{root}/metadata.sqlite")).executions_of_node(
        "table", EXAMPLES
    )
    assert execution.state is State.FAILED
    assert not list(root.glob(f"{EXAMPLES}/examples/*"))
