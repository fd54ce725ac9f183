"""Stores that the other stack wrote: SQL dumps of a store that each stack's ml_metadata made.

.venv/bin/python -m tests.pipeline.store.test_stacks py313    # writes the dump again, in that stack's .venv
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.store import connection

DUMPS = Path(__file__).with_name("stacks")


def write(path: Path) -> None:
    """A run with one execution that made one artifact."""
    store = connection.connect(f"sqlite:///{path}", write=True)
    kinds = {"accuracy": mlmd.DOUBLE, "sha256": mlmd.STRING, "size": mlmd.INT}
    model = store.put_artifact_type(mlmd.ArtifactType(name="Model", properties=kinds))
    node = store.put_execution_type(mlmd.ExecutionType(name="Trainer"))
    run = store.put_context_type(mlmd.ContextType(name="pipeline_run"))
    artifact = mlmd.Artifact(
        type_id=model, name="baseline", uri="root/Trainer/model/1", state=mlmd.Artifact.LIVE
    )
    artifact.properties["accuracy"].double_value = 0.9867
    artifact.properties["sha256"].string_value = "89d7"
    artifact.custom_properties["size"].int_value = 3_300_000
    execution = mlmd.Execution(type_id=node, last_known_state=mlmd.Execution.COMPLETE)
    event = mlmd.Event(type=mlmd.Event.OUTPUT)
    event.path.steps.add().key = "model"
    store.put_execution(execution, [(artifact, event)], [mlmd.Context(type_id=run, name="2026-11-30")])


@pytest.mark.parametrize("stack", ["py310", "py313"])
def test_a_store_of_each_stack_is_read_and_written_on(stack: str, tmp_path: Path) -> None:
    path = tmp_path / "metadata.sqlite"
    with sqlite3.connect(path) as database:
        database.executescript((DUMPS / f"{stack}.sql").read_text(encoding="utf-8"))
    database.close()
    store = connection.connect(f"sqlite:///{path}")
    (artifact,) = store.get_artifacts()
    assert (artifact.type, artifact.name, artifact.uri) == ("Model", "baseline", "root/Trainer/model/1")
    assert artifact.properties["accuracy"].double_value == 0.9867
    assert artifact.properties["sha256"].string_value == "89d7"
    assert artifact.custom_properties["size"].int_value == 3_300_000
    (event,) = store.get_events_by_artifact_ids([artifact.id])
    assert (event.type, event.path.steps[0].key) == (mlmd.Event.OUTPUT, "model")
    (context,) = store.get_contexts_by_execution(event.execution_id)
    assert (context.type, context.name) == ("pipeline_run", "2026-11-30")

    writer = connection.connect(f"sqlite:///{path}", write=True)
    second = mlmd.Artifact(type_id=artifact.type_id, name="pruned", uri="root/pruned/model/2")
    (number,) = writer.put_artifacts([second])
    assert number == artifact.id + 1
    assert {one.name for one in store.get_artifacts_by_type("Model")} == {"baseline", "pruned"}


if __name__ == "__main__":
    made = Path("metadata.sqlite.tmp")
    made.unlink(missing_ok=True)
    write(made)
    (DUMPS / f"{sys.argv[1]}.sql").write_text(
        "\n".join(sqlite3.connect(made).iterdump()) + "\n", encoding="utf-8"
    )
    made.unlink()
