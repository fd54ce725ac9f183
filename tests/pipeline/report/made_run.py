"""Runs in a metadata store of their own, with artifacts in the shapes that the components leave."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as pb

from components.evaluator.verdict import Verdict
from components.measurer.measured import SIDES
from components.selector.params import SelectOptions
from components.selector.report import SelectorReport
from pipeline.run.provenance import Document, Provenance
from pipeline.run.record import RunRecord
from pipeline.store.connection import connect
from pipeline.store.reader import Reader
from pipeline.store.records import Run
from pipeline.store.state import State
from tests.pipeline.report.made_verdicts import CONFIG, GATE, LAYERS

TYPES = {
    "ImportExampleGen": "tfx.components.example_gen.import_example_gen.component.ImportExampleGen",
    "AnomalyGate": "components.anomaly_gate.component.AnomalyGate",
    "Trainer": "tfx.components.trainer.component.Trainer",
    "Selector": "components.selector.component.Selector",
    "Pusher": "tfx.components.pusher.component.Pusher",
}
CONVERTER = "components.tflite_converter.component.TFLiteConverter"
PRUNER = "components.pruner.component.Pruner"
DISTILLER = "components.distiller.component.Distiller"
MEASURER = "components.measurer.component.Measurer"
EVALUATOR = "components.evaluator.component.Evaluator"


class MadeRun:
    """Writes a run as TFX and Paredown do, node by node."""

    def __init__(self, folder: Path, run_id: str = "2026-11-22T08:49:28.755139", config: Any = None):
        """Begins it.

        Args:
            folder: Gets the store and the artifacts, if they do not exist yet.
            run_id: Name of its context.
            config: As resolved; False for a run without a record.
        """
        self.root = folder / "root"
        self.root.mkdir(parents=True, exist_ok=True)
        self.url = f"sqlite:///{self.root / 'metadata.sqlite'}"
        self.store: metadata_store.MetadataStore = connect(self.url, write=True)
        self.reader = Reader.open(self.url)
        self.run_id = run_id
        self.config = CONFIG if config is None else config
        self.contexts = {
            "pipeline": self._context("pipeline", "small"),
            "run": self._context("pipeline_run", run_id),
        }
        self.store.put_parent_contexts(
            [pb.ParentContext(child_id=self.contexts["run"], parent_id=self.contexts["pipeline"])]
        ) if run_id not in self._children() else None
        self.record = RunRecord(self.url, run_id, self._provenance()) if self.config else None

    def _children(self) -> set[str]:
        return {c.name for c in self.store.get_children_contexts_by_context(self.contexts["pipeline"])}

    def _provenance(self) -> Provenance:
        def document(kind: str, content: Any) -> Document:
            return Document(kind, json.dumps(content, sort_keys=True))

        return Provenance(
            pipeline="small",
            config_path="/configs/small.yaml",
            config=document("config", self.config),
            environment=document(
                "environment", {"python": "3.10.1", "cpu": "Some CPU", "packages": {"tfx": "1.16.0"}}
            ),
            data=document(
                "data", {"train": [{"file": "train.gz", "bytes": 12_364_345, "sha256": "ab" * 32}]}
            ),
            version="0.1.0",
            git_commit="0123456789abcdef0123",
            git_dirty=True,
            seed=7,
        )

    def _context(self, type_name: str, name: str) -> int:
        found = self.store.get_context_by_type_and_name(type_name, name)
        if found is not None:
            return found.id
        kind = self.store.put_context_type(pb.ContextType(name=type_name))
        return self.store.put_contexts([pb.Context(type_id=kind, name=name)])[0]

    def node(
        self,
        name: str,
        type_name: str,
        reads: Mapping[str, int],
        makes: Mapping[str, tuple[str, dict[str, Any]]],
        state: State = State.RAN,
        parameters: Mapping[str, Any] | None = None,
        seconds: float = 1.5,
    ) -> dict[str, int]:
        """A node's execution; returns output key → artifact."""
        states = {
            State.RAN: pb.Execution.COMPLETE,
            State.FAILED: pb.Execution.FAILED,
            State.RUNNING: pb.Execution.RUNNING,
        }
        kind = self.store.put_execution_type(pb.ExecutionType(name=type_name))
        execution = pb.Execution(type_id=kind, last_known_state=states[state])
        for key, value in (parameters or {}).items():
            execution.custom_properties[key].string_value = str(value)
        contexts = [*self.contexts.values(), self._context("node", f"small.{name}")]
        (number,) = self.store.put_executions([execution])
        self.store.put_attributions_and_associations(
            [], [pb.Association(execution_id=number, context_id=context) for context in contexts]
        )
        made = {}
        events = [self._event(number, artifact, key, pb.Event.INPUT) for key, artifact in reads.items()]
        for key, (artifact_type, facts) in makes.items():
            made[key] = self._artifact(artifact_type, self.root / name / key / str(number), facts)
            events.append(self._event(number, made[key], key, pb.Event.OUTPUT))
        if events:
            self.store.put_events(events)
        if self.record is not None:
            self.record.node(name, state, seconds, number)
        return made

    def _artifact(self, type_name: str, uri: Path, facts: Mapping[str, Any]) -> int:
        uri.mkdir(parents=True)
        kind = self.store.put_artifact_type(pb.ArtifactType(name=type_name))
        artifact = pb.Artifact(type_id=kind, uri=str(uri), state=pb.Artifact.LIVE)
        for key, value in facts.items():
            if isinstance(value, int):
                artifact.custom_properties[key].int_value = value
            else:
                artifact.custom_properties[key].string_value = value
        return self.store.put_artifacts([artifact])[0]

    def _event(self, execution: int, artifact: int, key: str, kind: Any) -> pb.Event:
        event = pb.Event(execution_id=execution, artifact_id=artifact, type=kind)
        event.path.steps.add().key = key
        return event

    def uri(self, artifact: int) -> Path:
        """Folder of an artifact."""
        return Path(self.store.get_artifacts_by_id([artifact])[0].uri)

    def finish(self, status: str, exit_code: int, **facts: Any) -> Run:
        """Ends it; returns the run as the store has it."""
        if self.record is not None:
            self.record.finish(State(status), exit_code, **facts)
        return self.run()

    def run(self) -> Run:
        """The run as the store has it."""
        run = self.reader.run(self.run_id)
        assert run is not None
        return run

    def prepare(self) -> dict[str, int]:
        """The nodes before all candidates; returns what they made."""
        examples = self.node(
            "ImportExampleGen", TYPES["ImportExampleGen"], {}, {"examples": ("Examples", {})}
        )
        schema = self.node("AnomalyGate", TYPES["AnomalyGate"], {}, {"schema": ("Schema", {})})
        data = {**examples, **schema}
        trained = self.node(
            "Trainer", TYPES["Trainer"], data, {"model": ("Model", {"trained_epochs": 3})}, seconds=75
        )
        self.history(trained["model"], [0.5, 0.3, 0.25], kept=2)
        baseline = self.node(
            "convert-float32",
            CONVERTER,
            {"base_model": trained["model"], **data},
            {"model": ("Model", {"layers": json.dumps(LAYERS)})},
        )
        return {**data, "trained": trained["model"], "baseline": baseline["model"]}

    def history(self, model: int, losses: list[float], kept: int) -> None:
        """Writes the learning curve of a model."""
        epochs = [
            {
                "epoch": i + 1,
                "loss": loss,
                "val_loss": loss + 0.1,
                "accuracy": 1 - loss,
                "val_accuracy": 0.9 - loss,
            }
            for i, loss in enumerate(losses)
        ]
        text = json.dumps({"epochs": epochs, "kept_epoch": kept})
        (self.uri(model) / "history.json").write_text(text, encoding="utf-8")

    def candidate(self, name: str, made: Mapping[str, int], found: Verdict) -> tuple[int, int]:
        """The nodes of a candidate; returns its model and evaluation."""
        data = {key: made[key] for key in ("examples", "schema")}
        source, prefix = made["trained"], ""
        for step in found.measured.steps:
            technique = step["technique"]
            kind = {"prune": PRUNER, "distill": DISTILLER, "convert": CONVERTER}[technique]
            prefix = f"{prefix}-{technique}" if prefix else technique
            facts = {} if technique == "convert" else {"trained_epochs": step["epochs"]}
            parameters = {"params": json.dumps(step)}
            output = self.node(
                prefix,
                kind,
                {"base_model": source, **data},
                {"model": ("Model", facts)},
                parameters=parameters,
            )
            source = output["model"]
            if technique != "convert":
                self.history(source, [0.4, 0.2], kept=2)
        return source, self.evaluate(f"{prefix}-evaluate", {**made, "model": source}, found)

    def evaluate(self, node: str, made: Mapping[str, int], found: Verdict) -> int:
        """A judgement; returns its evaluation. A run of before records has no measurement of its own."""
        reads = {key: made[key] for key in ("model", "baseline")}
        data = {key: made[key] for key in ("examples", "schema")}
        if self.record is not None:
            facts = {"cpu": "Some CPU", "cores": 2}
            reads |= self.node(
                node.replace("-evaluate", "-measure"),
                MEASURER,
                {**reads, **data},
                {"measurement": ("components.ModelMeasurement", facts)},
            )
        else:
            reads |= data
        outputs = {
            "evaluation": ("ModelEvaluation", {"blessed": int(found.blessed)}),
            "blessing": ("ModelBlessing", {}),
        }
        output = self.node(node, EVALUATOR, reads, outputs, parameters={"gate": json.dumps(GATE)})
        folder = self.uri(output["evaluation"])
        found.write(folder / "verdict.json")
        times = found.measured.latency
        if times:
            random = np.random.default_rng(3)
            both = {
                side: (times.at(side, 50) * random.lognormal(0, 0.1, 200)).round(6).tolist()
                for side in SIDES
            }
            folder = self.uri(reads.get("measurement", output["evaluation"]))
            (folder / "latency.json").write_text(json.dumps({"unit": "ms", **both}), encoding="utf-8")
        return output["evaluation"]

    def whole(self, verdicts: dict[str, Verdict], winner: str | None, pushed: Path | None = None) -> Run:
        """A finished run."""
        made = self.prepare()
        reads = {}
        for name, found in verdicts.items():
            key = name.replace("-", "_")
            reads[f"model_{key}"], reads[f"evaluation_{key}"] = self.candidate(name, made, found)
        facts = {"winner": winner or "", "candidates": len(verdicts)}
        selected = self.node(
            "Selector",
            TYPES["Selector"],
            reads,
            {
                "model": ("Model", {"candidate": winner or ""}),
                "report": ("components.OptimizationReport", facts),
                "blessing": ("ModelBlessing", {}),
            },
        )
        report = SelectorReport(winner, SelectOptions(**CONFIG["select"]), verdicts)
        report.write(self.uri(selected["report"]) / "report.json")
        facts = {"pushed": int(bool(winner)), "pushed_destination": str(pushed or "")}
        reads = {"model": selected["model"], "model_blessing": selected["blessing"]}
        self.node("Pusher", TYPES["Pusher"], reads, {"pushed_model": ("PushedModel", facts)})
        if winner:
            return self.finish("pushed", 0, winner=winner, pushed=str(pushed or ""), pushed_now=1)
        return self.finish("no candidate passed", 4, winner="", pushed="", pushed_now=0)
