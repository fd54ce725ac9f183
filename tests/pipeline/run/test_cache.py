"""What the cache may give: only what is as its node left it."""

from __future__ import annotations

import dataclasses
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2

from components.common.base.file_hashes import CONTENT, ChangedFile, FileHashes
from pipeline.plan.node import Node, Output
from pipeline.plan.plan import Plan
from pipeline.run import record as run_record
from pipeline.run.cache import Cache, cached_nodes
from pipeline.run.integrity import refuse_changed
from pipeline.store.connection import connect
from pipeline.store.reader import NODE, Reader
from tests.damage import damage
from tests.pipeline.store.test_runs import begin

FILES = {
    "Format-Serving/tflite": bytes(range(256)) * 40,
    "Format-Serving/labels.txt": b"less\nmore\n",
    "Format-Keras/model.h5": b"weights" * 300,
    "optimization.json": b'{"steps": []}',
    "logs/empty": b"",
}
PIPELINE = "p"


class Made:
    """A node with one output of an earlier execution, its files on disk, and the store."""

    def __init__(self, root: Path, node: Node, data_hash: str | None = None):
        self.node = node
        self.folder = root / node.id / "model" / "1"
        for name, content in FILES.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes(content)
        self.url = f"sqlite:///{root}/metadata.sqlite"
        self.record = begin(self.url)
        store = connect(self.url, write=True)
        artifact = metadata_store_pb2.Artifact(
            type_id=store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Model")),
            uri=str(self.folder),
            state=metadata_store_pb2.Artifact.LIVE,
        )
        if data_hash is not None:
            run_record.set_facts(artifact, {"data_hash": data_hash})
        execution = metadata_store_pb2.Execution(
            type_id=store.put_execution_type(metadata_store_pb2.ExecutionType(name="Trainer")),
            last_known_state=metadata_store_pb2.Execution.COMPLETE,
        )
        run_record.set_facts(execution, dict(node.parameters))
        (self.artifact,) = store.put_artifacts([artifact])
        (execution_id,) = store.put_executions([execution])
        event = metadata_store_pb2.Event(
            artifact_id=self.artifact, execution_id=execution_id, type=metadata_store_pb2.Event.OUTPUT
        )
        event.path.steps.add().key = "model"
        store.put_events([event])
        context = metadata_store_pb2.Context(
            type_id=store.put_context_type(metadata_store_pb2.ContextType(name=NODE)),
            name=f"{PIPELINE}.{node.id}",
        )
        (context_id,) = store.put_contexts([context])
        association = metadata_store_pb2.Association(execution_id=execution_id, context_id=context_id)
        store.put_attributions_and_associations([], [association])

    def remember(self) -> None:
        self.record.contents(Reader.open(self.url).artifacts([self.artifact]), FileHashes())

    def cached(self, data_hash: Callable[[], str] = lambda: "d") -> tuple[bool, str]:
        """Whether a run would take the output, and why not if that is not TFX's rule."""
        said: list[str] = []
        cache = Cache(PIPELINE, FileHashes(), data_hash)
        found = cache.find(Reader.open(self.url), self.node, {}, said.append)
        assert found is None or found.outputs == {"model": [self.artifact]}
        return found is not None, "".join(said)


TRAINER = Node("Trainer", "a.Trainer", {}, {"seed": 7})


def test_what_is_as_recorded_is_cached_and_what_was_not_recorded_is_not(tmp_path: Path) -> None:
    made = Made(tmp_path, TRAINER)
    assert made.cached() == (False, f"the content of {made.folder} was not recorded")
    made.remember()
    assert made.cached() == (True, "")
    (artifact,) = Reader.open(made.url).artifacts([made.artifact])
    assert f'"{next(iter(FILES))}": "' in artifact.properties[CONTENT]
    made.node = Node("Trainer", "a.Trainer", {"x": Output("y", "z")}, {"seed": 8})
    assert made.cached() == (False, "")


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named_and_its_node_runs(tmp_path: Path, name: str) -> None:
    """100 damages of each kind of file: random bytes, cuts, additions, removals."""
    made = Made(tmp_path, TRAINER)
    made.remember()
    kept = tmp_path / "kept"
    shutil.copytree(made.folder, kept)
    numbers = random.Random(name)
    for _ in range(100):
        damage(made.folder / name, numbers)
        cached, why = made.cached()
        assert not cached and why.startswith(f"{made.folder / name} "), why
        with pytest.raises(ChangedFile, match=f"{name} (was changed|is missing)"):
            refuse_changed(Reader.open(made.url).artifacts([made.artifact]), FileHashes())
        shutil.copy2(kept / name, made.folder / name)
        assert made.cached() == (True, "")


def test_a_file_that_was_added_counts(tmp_path: Path) -> None:
    made = Made(tmp_path, TRAINER)
    made.remember()
    (made.folder / "Split-eval-00001-of-00002").touch()
    assert made.cached() == (False, f"{made.folder}/Split-eval-00001-of-00002 was added")


def test_examples_are_cached_for_data_of_the_same_content_alone(tmp_path: Path) -> None:
    made = Made(tmp_path, Node("CsvExampleGen", "tfx.CsvExampleGen", {}, {}), data_hash="d")
    made.remember()
    assert made.cached() == (True, "")
    assert made.cached(lambda: "e") == (False, "the content of the data changed")


def test_what_is_asked_to_be_measured_again_is_not_cached_nor_is_what_reads_it(tmp_path: Path) -> None:
    measurer = Node("a-measure", "a.Measurer", {}, {"machine": "one"})
    made = Made(tmp_path, measurer)
    made.remember()
    plan = Plan(PIPELINE, (measurer,), {}, {"a": "a-measure", "b": "b-measure"}, {}, "")

    def cached(plan: Plan) -> set[str]:
        return cached_nodes(plan, Reader.open(made.url), FileHashes(), lambda: "d")

    assert cached(plan) == cached(plan.remeasured(["b"])) == {"a-measure"}
    assert cached(plan.remeasured(["a"])) == set()
    another = dataclasses.replace(measurer, parameters={"machine": "two"})
    assert cached(dataclasses.replace(plan, nodes=(another,))) == set()
