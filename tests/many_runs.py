"""Makes an SQLite store with very many runs, through ml_metadata's own API.

Each run has the nodes of two candidates. The data change with every twentieth run, and with them
everything; in between only the candidates are built again, and what comes before is cached: the events of
the data and of the baseline grow long, as they do in the store of a pipeline that runs every night.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2

from components.evaluator.params import Gate
from pipeline.base.process import Process
from pipeline.run import record as run_record
from pipeline.run.provenance import Document, Provenance
from pipeline.store.reader import DOCUMENT, FILE, RUN
from pipeline.store.state import State

RUNS_PER_DATA = 20
_BEGIN = datetime(2026, 1, 1, tzinfo=timezone.utc)

# Node → (type of the execution, inputs: key → (node, output), outputs: key → type of the artifact)
_DATA = {"examples": ("ImportExampleGen", "examples"), "schema": ("AnomalyGate", "schema")}
_NODES: dict[str, tuple[str, dict[str, tuple[str, str]], dict[str, str]]] = {
    "ImportExampleGen": ("ImportExampleGen", {}, {"examples": "Examples"}),
    "StatisticsGen": (
        "StatisticsGen",
        {"examples": ("ImportExampleGen", "examples")},
        {"statistics": "ExampleStatistics"},
    ),
    "SchemaGen": ("SchemaGen", {"statistics": ("StatisticsGen", "statistics")}, {"schema": "Schema"}),
    "AnomalyGate": ("AnomalyGate", {"inferred_schema": ("SchemaGen", "schema")}, {"schema": "Schema"}),
    "Trainer": ("Trainer", _DATA, {"model": "Model"}),
    "convert-float32": (
        "TFLiteConverter",
        {"base_model": ("Trainer", "model"), **_DATA},
        {"model": "Model"},
    ),
}
for _name, _base, _type in (
    ("convert-int8", "Trainer", "TFLiteConverter"),
    ("prune", "Trainer", "Pruner"),
    ("prune-convert-int8", "prune", "TFLiteConverter"),
):
    _NODES[_name] = (_type, {"base_model": (_base, "model"), **_DATA}, {"model": "Model"})
for _name in ("convert-int8", "prune-convert-int8"):
    _NODES[f"{_name}-evaluate"] = (
        "Evaluator",
        {"model": (_name, "model"), "baseline": ("convert-float32", "model"), **_DATA},
        {"blessing": "ModelBlessing", "evaluation": "ModelEvaluation"},
    )
_NODES["Selector"] = (
    "Selector",
    {
        "model_int8": ("convert-int8", "model"),
        "evaluation_int8": ("convert-int8-evaluate", "evaluation"),
        "model_pruned": ("prune-convert-int8", "model"),
        "evaluation_pruned": ("prune-convert-int8-evaluate", "evaluation"),
    },
    {"model": "Model", "report": "components.OptimizationReport", "blessing": "ModelBlessing"},
)
_NODES["Pusher"] = ("Pusher", {"model": ("Selector", "model")}, {"pushed_model": "PushedModel"})
_GATE = Gate.model_validate(
    {"accuracy": {"metric": "SparseCategoricalAccuracy", "max_drop": 0.01}, "size": {"max_ratio": 0.3}}
).model_dump(mode="json")
_CACHEABLE = ("ImportExampleGen", "StatisticsGen", "SchemaGen", "AnomalyGate", "Trainer", "convert-float32")


def make(root: Path, runs: int, file: str = "metadata.sqlite") -> Maker:
    """Makes a store with some runs, an hour apart.

    Args:
        root: The store and the artifacts are below this folder.
        runs: How many.
        file: SQLite file, relative to the folder.
    """
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    maker = Maker(path, root)
    for number in range(runs):
        maker.run(number)
    return maker


class Maker:
    """Writes runs into a store, one transaction each."""

    def __init__(self, path: Path, root: Path):
        """Opens a store that does not exist yet.

        Args:
            path: SQLite file.
            root: Folder above the artifacts' folders, which are not made.
        """
        config = metadata_store_pb2.ConnectionConfig()
        config.sqlite.filename_uri = str(path)
        config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        self.store = metadata_store.MetadataStore(config)
        self.root = root
        self.contexts = {
            name: self.store.put_context_type(metadata_store_pb2.ContextType(name=name))
            for name in ("pipeline", "node", RUN, DOCUMENT, FILE)
        }
        self.executions = {
            name: self.store.put_execution_type(metadata_store_pb2.ExecutionType(name=f"tfx.{name}"))
            for name in {kind for kind, _, _ in _NODES.values()}
        }
        self.artifacts = {
            name: self.store.put_artifact_type(metadata_store_pb2.ArtifactType(name=name))
            for name in {kind for _, _, outputs in _NODES.values() for kind in outputs.values()}
        }
        (self.pipeline,) = self.store.put_contexts(
            [metadata_store_pb2.Context(name="nightly", type_id=self.contexts["pipeline"])]
        )
        self.nodes = {name: self._named("node", f"nightly.{name}", {}).id for name in _NODES}
        self.next_execution = 1
        self.cached: dict[tuple[str, str], int] = {}

    def _named(self, kind: str, name: str, facts: run_record.Facts) -> Any:
        context = metadata_store_pb2.Context(name=name, type_id=self.contexts[kind])
        run_record.set_facts(context, facts)
        (context.id,) = self.store.put_contexts([context])
        return context

    def run(self, number: int) -> None:
        """Adds one run."""
        fresh = number % RUNS_PER_DATA == 0
        started = _BEGIN + timedelta(hours=number)
        states = {name: "cached" if name in _CACHEABLE and not fresh else "ran" for name in _NODES}
        run = metadata_store_pb2.Context(name=started.isoformat(), type_id=self.contexts[RUN])
        pushed = f"{self.root}/serving/{number}"
        nodes = {
            name: {"state": state, "seconds": 1.5, "execution": self.next_execution + index}
            for index, (name, state) in enumerate(states.items())
        }
        run_record.set_facts(
            run,
            {
                **run_record.opening(self._provenance(number), Process("elsewhere", 1, "boot:1"), started),
                **run_record.node_facts(nodes),
                **run_record.closing(
                    State.PUSHED,
                    0,
                    started + timedelta(minutes=9),
                    winner="pruned",
                    pushed=pushed,
                    pushed_now=1,
                ),
            },
        )
        (run.id,) = self.store.put_contexts([run])
        ran, artifacts, events, files = [], [], [], []
        made: dict[tuple[str, str], int] = {}
        for index, (name, (kind, inputs, outputs)) in enumerate(_NODES.items()):
            execution = metadata_store_pb2.Execution(type_id=self.executions[kind])
            complete = states[name] == "ran"
            execution.last_known_state = execution.COMPLETE if complete else execution.CACHED
            execution.custom_properties["seed"].int_value = 42
            run_record.set_facts(execution, run_record.execution_facts("nightly", name, run.name))
            run_record.set_facts(execution, self._parameters(number, name, kind))
            ran.append(execution)
            for key, source in inputs.items():
                event = _event(metadata_store_pb2.Event.INPUT, key)
                if source in made:
                    events.append((index, made[source], event))
                else:
                    event.artifact_id = self.cached[source]
                    events.append((index, None, event))
            for key, type_name in outputs.items():
                event = _event(metadata_store_pb2.Event.OUTPUT, key)
                if not complete:
                    event.artifact_id = self.cached[name, key]
                    events.append((index, None, event))
                    continue
                artifact = self._artifact(number, name, key, type_name, self.next_execution + index)
                made[name, key] = len(artifacts)
                artifacts.append(artifact)
                events.append((index, made[name, key], event))
                if "files" in artifact.custom_properties:
                    digest = next(
                        iter(json.loads(artifact.custom_properties["files"].string_value).values())
                    )
                    files.append((made[name, key], digest))
        execution_ids, artifact_ids, _ = self.store.put_lineage_subgraph(ran, artifacts, [], events)
        assert execution_ids[0] == self.next_execution
        self.next_execution += len(ran)
        for source, index in made.items():
            if source[0] in _CACHEABLE:
                self.cached[source] = artifact_ids[index]
        associations = [
            metadata_store_pb2.Association(execution_id=execution, context_id=context)
            for execution, node in zip(execution_ids, _NODES, strict=True)
            for context in (run.id, self.pipeline, self.nodes[node])
        ]
        contexts: dict[str, int] = {}
        for _, digest in files:
            if digest not in contexts:
                contexts[digest] = self._named(FILE, digest, {}).id
        attributions = [
            metadata_store_pb2.Attribution(artifact_id=artifact_ids[index], context_id=contexts[digest])
            for index, digest in files
        ]
        self.store.put_attributions_and_associations(attributions, associations)

    def _parameters(self, number: int, node: str, kind: str) -> run_record.Facts:
        if kind == "Selector":
            return {"candidates": '["int8", "pruned"]', "select": '{"maximize": null, "minimize": "size"}'}
        if kind == "Evaluator":
            return {"gate": json.dumps(_GATE)}
        return {"params": json.dumps({"epochs": 1 + number % 5, "node": node})}

    def _provenance(self, number: int) -> Provenance:
        documents = {
            "config": {
                "name": "nightly",
                "gate": _GATE,
                "run": {"seed": 42},
                "candidates": {"int8": [], "pruned": []},
            },
            "environment": {"python": "3.10.13", "cpu": "a CPU", "packages": {"tensorflow": "2.16.2"}},
            "data": {"train": [{"file": "train", "bytes": 1, "sha256": _digest(number // RUNS_PER_DATA)}]},
        }
        made = {kind: Document(kind, json.dumps(content)) for kind, content in documents.items()}
        for kind, document in made.items():
            if self.store.get_context_by_type_and_name(DOCUMENT, document.digest) is None:
                self._named(DOCUMENT, document.digest, {"kind": kind, "json": document.text})
        commit = hashlib.sha1(str(number // 7).encode()).hexdigest()
        return Provenance(
            "nightly", "nightly.yaml", **made, version="1", git_commit=commit, git_dirty=False, seed=42
        )

    def _artifact(self, number: int, node: str, key: str, type_name: str, execution: int) -> Any:
        artifact = metadata_store_pb2.Artifact(
            type_id=self.artifacts[type_name],
            uri=f"{self.root}/{node}/{key}/{execution}",
            state=metadata_store_pb2.Artifact.LIVE,
        )
        facts: run_record.Facts = {"tfx_version": "1.16.0"}
        if type_name == "Model":
            model = f"{number}-prune-convert-int8" if node == "Selector" else f"{number}-{node}"
            facts |= {
                "files": json.dumps({"Format-Serving/tflite": _digest(model)}),
                "bytes": 1000 + number,
            }
        elif type_name == "PushedModel":
            facts |= {
                "files": json.dumps({"tflite": _digest(f"{number}-prune-convert-int8")}),
                "pushed": 1,
                "pushed_destination": f"{self.root}/serving/{number}",
                "pushed_version": str(number),
            }
        elif type_name.endswith("Report"):
            facts |= {"winner": "pruned", "candidates": 2, "passed": 2}
        elif type_name == "ModelEvaluation":
            facts |= {"blessed": 1, "reason": "", "accuracy": 0.9 + number % 100 / 1000}
        run_record.set_facts(artifact, facts)
        return artifact


def _event(kind: int, key: str) -> Any:
    event = metadata_store_pb2.Event(type=kind)
    event.path.steps.add().key = key
    event.path.steps.add().index = 0
    return event


def _digest(content: object) -> str:
    return hashlib.sha256(str(content).encode()).hexdigest()
