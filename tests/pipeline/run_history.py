"""Writes runs into a store as TFX and the runner do, with real files, for tests of what reads them."""

from __future__ import annotations

import dataclasses
import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2

from pipeline.base.process import Process, this_process
from pipeline.run import record as run_record
from pipeline.run.provenance import Document, Provenance
from pipeline.store.connection import connect
from pipeline.store.reader import DOCUMENT, RUN, Reader
from pipeline.store.state import State

TYPES = {
    "ImportExampleGen": "tfx.components.example_gen.import_example_gen.component.ImportExampleGen",
    "Trainer": "tfx.components.trainer.component.Trainer",
    "Selector": "components.selector.component.Selector",
    "Pusher": "tfx.components.pusher.component.Pusher",
}
CONVERTER = "components.tflite_converter.component.TFLiteConverter"


def document(kind: str, content: dict[str, Any]) -> Document:
    """A document as the runner writes it."""
    return Document(kind, json.dumps(content, sort_keys=True))


def provenance(pipeline: str = "small", **changed: Any) -> Provenance:
    """What a run was made of."""
    made_of = Provenance(
        pipeline=pipeline,
        config_path="/project/pipeline.yaml",
        config=document("config", {"name": pipeline}),
        environment=document("environment", {"python": "3.10.1"}),
        data=document("data", {"train": []}),
        version="0.1.0",
        git_commit="a" * 40,
        git_dirty=False,
        seed=42,
    )
    return dataclasses.replace(made_of, **changed)


class History:
    """A store and the pipeline root beside it."""

    def __init__(self, root: Path, pipeline: str = "small", store: Any = None):
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self.pipeline = pipeline
        self.database = root / "metadata.sqlite"
        self.store = store or connect(f"sqlite:///{self.database}", write=True)
        # A store in memory can only be read through ml_metadata.
        self.reader = Reader(store) if store else Reader.open(f"sqlite:///{self.database}")
        self.runs: dict[str, int] = {}
        self._records: dict[str, dict[str, Any]] = {}

    def run(
        self,
        name: str,
        status: str | None = "pushed",
        process: Process | None = None,
        made_of: Provenance | None = None,
        **facts: Any,
    ) -> str:
        """Adds a run.

        Args:
            name: Its id.
            status: How it ended; `running` if that is not recorded; None for a run that left no record.
            process: That it went on in.
            made_of: For its record.
            facts: For the end of its record.
        """
        context = self._context(RUN, name)
        if status is not None:
            made_of = made_of or provenance(self.pipeline)
            for each in made_of.documents():
                self._context(DOCUMENT, each.digest, {"kind": each.kind, "json": each.text})
            now = datetime.now(timezone.utc)
            known = run_record.opening(made_of, process or this_process(), now)
            if status != "running":
                known |= run_record.closing(State(status), 0, now, **facts)
            run_record.set_facts(context, known)
            self.store.put_contexts([context])
        self.runs[name] = context.id
        return name

    def execute(
        self,
        run: str,
        node: str,
        inputs: dict[str, int] | None = None,
        outputs: dict[str, str] | None = None,
        parameters: dict[str, str | int | float] | None = None,
        state: str = "COMPLETE",
        kind: str | None = None,
        size: int = 100,
    ) -> dict[str, int]:
        """Adds an execution with new artifacts, each a folder with one file of a given number of bytes.

        Returns:
            Output key → artifact id.
        """
        execution = self._execution(node, kind, parameters, state)
        artifacts = []
        for key, kind_name in (outputs or {}).items():
            folder = self.root / node / key / str(execution.id)
            folder.mkdir(parents=True)
            (folder / "data").write_bytes(b"x" * size)
            artifact = metadata_store_pb2.Artifact(uri=str(folder), type_id=self._artifact_type(kind_name))
            artifact.state = artifact.LIVE
            artifacts.append((key, artifact))
        ids = self._put(run, node, execution, inputs, artifacts)
        return dict(zip(outputs or {}, ids, strict=True))

    def reuse(
        self,
        run: str,
        node: str,
        outputs: dict[str, int],
        inputs: dict[str, int] | None = None,
        parameters: dict[str, str | int | float] | None = None,
        kind: str | None = None,
    ) -> None:
        """Adds an execution that took its outputs from the cache."""
        execution = self._execution(node, kind, parameters, "CACHED")
        self._put(run, node, execution, inputs, [(key, self.artifact(i)) for key, i in outputs.items()])

    def push(self, run: str, model: int, destination: Path, is_there: bool = True) -> int:
        """Adds a Pusher's execution, and what it pushed."""
        if is_there:
            destination.mkdir(parents=True)
            (destination / "tflite").write_bytes(b"TFL3")
        parameters = {
            "push_destination": json.dumps({"filesystem": {"base_directory": str(destination.parent)}})
        }
        made = self.execute(run, "Pusher", {"model": model}, {"pushed_model": "PushedModel"}, parameters)
        self.tell(made["pushed_model"], pushed=1, pushed_destination=str(destination))
        return made["pushed_model"]

    def tell(self, artifact_id: int, **facts: str | int | float) -> None:
        """Sets custom properties of an artifact."""
        artifact = self.artifact(artifact_id)
        run_record.set_facts(artifact, facts)
        self.store.put_artifacts([artifact])

    def mark(self, artifact_id: int, state: str) -> None:
        """Sets the state of an artifact."""
        artifact = self.artifact(artifact_id)
        artifact.state = metadata_store_pb2.Artifact.State.Value(state)
        self.store.put_artifacts([artifact])

    def artifact(self, artifact_id: int) -> Any:
        """An artifact as the store has it now."""
        (artifact,) = self.store.get_artifacts_by_id([artifact_id])
        return artifact

    def state(self, artifact_id: int) -> str:
        """State of an artifact."""
        return metadata_store_pb2.Artifact.State.Name(self.artifact(artifact_id).state)

    def folder(self, artifact_id: int) -> Path:
        """Where an artifact's files are."""
        return Path(self.artifact(artifact_id).uri)

    def _execution(self, node: str, kind: str | None, parameters: Any, state: str) -> Any:
        name = kind or TYPES.get(node, CONVERTER)
        type_id = self.store.put_execution_type(metadata_store_pb2.ExecutionType(name=name))
        execution = metadata_store_pb2.Execution(type_id=type_id)
        execution.last_known_state = metadata_store_pb2.Execution.State.Value(state)
        run_record.set_facts(execution, parameters or {})
        (execution.id,) = self.store.put_executions([execution])
        return execution

    def _put(
        self,
        run: str,
        node: str,
        execution: Any,
        inputs: dict[str, int] | None,
        outputs: list[tuple[str, Any]],
    ) -> list[int]:
        pairs = [(self.artifact(i), _event(key, output=False)) for key, i in (inputs or {}).items()]
        pairs += [(artifact, _event(key, output=True)) for key, artifact in outputs]
        (run_context,) = self.store.get_contexts_by_id([self.runs[run]])
        contexts = [
            run_context,
            self._context("pipeline", self.pipeline),
            self._context("node", f"{self.pipeline}.{node}"),
        ]
        _, ids, _ = self.store.put_execution(execution, pairs, contexts)
        if "status" in run_context.custom_properties:
            state = "cached" if execution.last_known_state == execution.CACHED else "ran"
            self._record(
                run, run_context, node, {"state": state, "seconds": 1.0, "execution": execution.id}
            )
        return ids[len(inputs or {}) :]

    def _record(self, run: str, context: Any, node: str, entry: dict[str, Any]) -> None:
        self._records.setdefault(run, {})[node] = entry
        run_record.set_facts(context, run_record.node_facts(self._records[run]))
        self.store.put_contexts([context])

    def _context(self, kind: str, name: str, facts: dict[str, Any] | None = None) -> Any:
        type_id = self.store.put_context_type(metadata_store_pb2.ContextType(name=kind))
        found = self.store.get_context_by_type_and_name(kind, name)
        if found is not None:
            return found
        context = metadata_store_pb2.Context(name=name, type_id=type_id)
        run_record.set_facts(context, facts or {})
        (context.id,) = self.store.put_contexts([context])
        return context

    def _artifact_type(self, name: str) -> int:
        return self.store.put_artifact_type(metadata_store_pb2.ArtifactType(name=name))


def _event(key: str, output: bool) -> Any:
    event = metadata_store_pb2.Event()
    event.type = event.OUTPUT if output else event.INPUT
    step = event.path.steps.add()
    step.key = key
    event.path.steps.add().index = 0
    return event


def dead_process() -> Process:
    """A process of this machine that has ended."""
    return dataclasses.replace(this_process(), pid=os.getpid(), started="an earlier boot:1")
