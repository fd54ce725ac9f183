"""Reads what a report shows from ML Metadata and the artifacts' files.

If something is no longer there (files were removed, or the run is from before Paredown wrote them), the section that
it belongs to gets a note: the page of an old run has gaps, and says so.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from components.common.base.document import Document, DocumentError
from components.common.base.options import Options
from components.evaluator.params import Gate
from components.evaluator.verdict import VERDICT_FILE, Verdict
from components.federated_trainer.record import RECORD_FILE, FederatedRecord
from components.measurer.file_facts import Layer, layers_from_json
from components.measurer.measurement import LATENCY_FILE
from components.selector.params import SelectOptions
from components.selector.report import REPORT_FILE, SelectorReport
from pipeline.config import target_section
from pipeline.config.target_section import TargetSection
from pipeline.lineage import graph as lineage
from pipeline.lineage.facts import TRAINERS
from pipeline.report.data import Candidate, Curve, Latencies, Port, Pushed, ReportData, Step
from pipeline.store.failures import by_candidate
from pipeline.store.reader import Reader
from pipeline.store.records import Artifact, Execution, Run
from pipeline.store.search_record import SearchRecord

# Seconds that a traceback may be written after the run's record says that it ended.
_TRACEBACK_DELAY = 120
_TRACEBACK_LINES = 30

# Types of artifacts whose properties a node's details show.
_WITH_FACTS = ("Model", "components.ModelMeasurement", "ModelEvaluation", "PushedModel")

Read = TypeVar("Read", bound=Document)
Section = TypeVar("Section", bound=Options)


def collect(reader: Reader, run: Run) -> ReportData:
    """Reads what the page of a run shows.

    Args:
        reader: Reads the store.
        run: A run in it.
    """
    return _Collection(reader, run).data()


class _Collection:
    """One run's facts, as they are found."""

    def __init__(self, reader: Reader, run: Run):
        self.reader = reader
        self.run = run
        self.notes: dict[str, list[str]] = {}
        self.executions = reader.executions_of_run(run)
        self.made = self._made()
        self.graph = lineage.upstream(reader, sorted({i for made in self.made.values() for i in made}))
        self.config = reader.document(run.config_hash)

    def data(self) -> ReportData:
        """Everything that was found."""
        steps = self._steps()
        report = self._report()
        if self.config is None:
            self._note("config", "The run has no config, because an older version of Paredown made it.")
        return ReportData(
            run=self.run,
            winner_name=report.winner if report else None,
            select=report.select if report else self._select(),
            selected=bool(self._of_type("Selector")),
            candidates=self._candidates(report),
            baseline_layers=self._baseline_layers(),
            gate=self._gate(),
            config=self.config,
            environment=self.reader.document(self.run.environment_hash),
            data=self.reader.document(self.run.data_hash),
            search=self._search(),
            curves=self._curves(steps),
            federated=self._federated(),
            steps=steps,
            graph=self.graph,
            pushed=self._pushed(),
            tracebacks=self._tracebacks(),
            notes=self.notes,
        )

    def _search(self) -> SearchRecord | None:
        document = self.reader.document(self.run.search_hash)
        try:
            return SearchRecord.from_json(document, "the record of the search") if document else None
        except DocumentError as error:
            self._note("candidates", f"{error}.")
            return None

    def _note(self, section: str, text: str) -> None:
        notes = self.notes.setdefault(section, [])
        if text not in notes:
            notes.append(text)

    def _made(self) -> dict[int, list[int]]:
        """Execution of this run → artifacts that it made, or took from the cache."""
        made: dict[int, list[int]] = {execution.id: [] for execution in self.executions}
        for edge in self.reader.edges_of_executions(made):
            if edge.output:
                made[edge.execution].append(edge.artifact)
        return made

    def _of_type(self, name: str) -> list[Execution]:
        """Executions that made what this run has, newest first."""
        found = {
            producer.id: producer
            for made in self.made.values()
            for artifact in made
            if (producer := self.graph.producer(artifact)) is not None and producer.type == name
        }
        return [found[key] for key in sorted(found, reverse=True)]

    def _steps(self) -> tuple[Step, ...]:
        steps = []
        for execution in self.executions:
            producers = [self.graph.producer(artifact) for artifact in self.made[execution.id]]
            # For a cached node, the execution that made its outputs.
            source = next((p for p in producers if p is not None), execution)
            recorded = self.run.nodes.get(execution.node)
            outputs = [
                self.graph.artifacts[a] for a in self.made[execution.id] if a in self.graph.artifacts
            ]
            facts = [o.properties for o in outputs if o.type in _WITH_FACTS]
            steps.append(
                Step(
                    node=execution.node,
                    type=execution.type,
                    state=recorded.state if recorded else execution.state,
                    seconds=recorded.seconds if recorded else None,
                    execution=source.id,
                    parameters=source.properties,
                    facts=facts[0] if facts else {},
                    reads=self._reads(source.id),
                )
            )
        return tuple(steps)

    def _reads(self, execution: int) -> dict[str, str]:
        if execution in self.graph.executions:
            pairs = [(key, a.id) for key, found in self.graph.inputs(execution).items() for a in found]
        else:  # it failed, and made nothing that would lead to it
            edges = self.reader.edges_of_executions([execution])
            pairs = [(edge.key, edge.artifact) for edge in edges if not edge.output and edge.key]
        producers = {key: self.graph.producer(artifact) for key, artifact in pairs}
        return {key: producer.node for key, producer in sorted(producers.items()) if producer}

    def _report(self) -> SelectorReport | None:
        """The Selector's report; None if there is none."""
        for selector in self._of_type("Selector"):
            for artifact in self.graph.outputs(selector.id).get("report", []):
                found = self._document(SelectorReport, Path(artifact.uri, REPORT_FILE))
                return found.with_failures(by_candidate(self.run.failures)) if found else None
        return None

    def _candidates(self, report: SelectorReport | None) -> tuple[Candidate, ...]:
        """Every candidate that was judged, with or without a Selector that took them together."""
        judged = {}
        for evaluator in reversed(self._of_type("Evaluator")):
            inputs, outputs = self.graph.inputs(evaluator.id), self.graph.outputs(evaluator.id)
            evaluation = outputs["evaluation"][0]
            verdict = self._document(Verdict, Path(evaluation.uri, VERDICT_FILE))
            if verdict is not None:
                name = self._name(verdict) or evaluator.node
                model = inputs["model"][0].id if "model" in inputs else None
                # Before there were measurements, the Evaluator kept the repetitions.
                times = inputs.get("measurement", [evaluation])[0].uri
                judged[evaluation.id] = Candidate(name, verdict, model, self._latencies(times))
        if report is None:
            found = list(judged.values())
            order = list((self.config or {}).get("candidates", {}))
            return tuple(
                sorted(found, key=lambda c: order.index(c.name) if c.name in order else len(order))
            )
        evaluations = self._selector_inputs("evaluation_")
        models = self._selector_inputs("model_")
        candidates = []
        for name, verdict in report.candidates.items():
            key = name.replace("-", "_")
            other = judged.get(evaluations.get(key, -1))
            latencies = other.latencies if other else None
            candidates.append(Candidate(name, verdict, models.get(key), latencies))
        return tuple(candidates)

    def _selector_inputs(self, prefix: str) -> dict[str, int]:
        selector = self._of_type("Selector")[0]
        inputs = self.graph.inputs(selector.id)
        return {k.removeprefix(prefix): found[0].id for k, found in inputs.items() if k.startswith(prefix)}

    def _name(self, verdict: Verdict) -> str | None:
        """The candidate of the config whose steps are those that the verdict was given on."""
        for name, chain in (self.config or {}).get("candidates", {}).items():
            steps = [
                {"technique": technique, **options}
                for step in chain
                for technique, options in step.items()
                if options is not None
            ]
            if steps == list(verdict.measured.steps):
                return name
        return None

    def _latencies(self, uri: str) -> Latencies | None:
        path = Path(uri, LATENCY_FILE)
        if not path.exists():
            self._note("latency", "Single repetitions were not kept: percentiles are shown.")
            return None
        found = self._json(path, "latency", _are_latencies)
        return Latencies(tuple(found["candidate"]), tuple(found["baseline"])) if found else None

    def _baseline_layers(self) -> dict[str, Layer]:
        for evaluator in self._of_type("Evaluator"):
            for artifact in self.graph.inputs(evaluator.id).get("baseline", []):
                if "layers" in artifact.properties:
                    return layers_from_json(artifact.properties["layers"])
        self._note("layers", "The baseline's layers were not recorded.")
        return {}

    def _gate(self) -> Gate | None:
        """The gate, from the config or from what an Evaluator was given."""
        found = [] if self.config is None else [json.dumps(self.config["gate"])]
        found += [e.properties["gate"] for e in self._of_type("Evaluator") if "gate" in e.properties]
        gate = self._options(Gate, found[0], "gate") if found else None
        target = (self.config or {}).get("target")
        if gate is None or target is None:
            return gate
        try:
            return target_section.gate_on(gate, TypeAdapter(TargetSection).validate_python(target))
        except ValidationError:
            self._note("verdict", "The run's target cannot be read: another version of Paredown wrote it.")
            return gate

    def _select(self) -> SelectOptions | None:
        if self.config is None or "select" not in self.config:
            return None
        return self._options(SelectOptions, json.dumps(self.config["select"]), "selection")

    def _options(self, kind: type[Section], text: str, name: str) -> Section | None:
        """A section of the config; None, and a note, if another version of Paredown wrote it."""
        try:
            return kind.model_validate_json(text)
        except ValueError:
            self._note("verdict", f"The run's {name} cannot be read: another version of Paredown wrote it.")
            return None

    def _curves(self, steps: Iterable[Step]) -> tuple[Curve, ...]:
        curves, without = [], []
        for step in steps:
            for artifact in self._models(step):
                path = Path(artifact.uri, "history.json")
                if not path.exists():
                    if step.type in TRAINERS or "trained_epochs" in artifact.properties:
                        without.append(step.node)
                    continue
                history = self._json(path, "curves", _is_history)
                if history is not None:
                    curves.append(Curve(step.node, tuple(history["epochs"]), history.get("kept_epoch")))
        if without:
            self._note("curves", f"No learning curve was kept of {', '.join(without)}.")
        return tuple(curves)

    def _federated(self) -> FederatedRecord | None:
        """The record of the baseline's training, if it was federated."""
        for trainer in self._of_type("FederatedTrainer"):
            for artifact in self.graph.outputs(trainer.id).get("model", []):
                return self._document(FederatedRecord, Path(artifact.uri, RECORD_FILE))
        return None

    def _models(self, step: Step) -> list[Artifact]:
        if step.execution not in self.graph.executions or step.type == "Selector":
            return []
        outputs = self.graph.outputs(step.execution).values()
        return [artifact for found in outputs for artifact in found if artifact.type == "Model"]

    def _pushed(self) -> Pushed | None:
        if not self.run.pushed:
            return None
        file = os.path.join(self.run.pushed, "tflite")
        if not os.path.exists(file):
            self._note("usage", f"{self.run.pushed} no longer exists, or is not on this machine.")
            return Pushed(file)
        return _read_pushed(file, self.notes)

    def _tracebacks(self) -> dict[str, str]:
        """Node that failed → the end of the traceback that the command kept beside its log."""
        files: dict[str, Path | None] = {
            failure.node: Path(failure.traceback) for failure in self.run.failures
        }
        if self.run.failed_node:
            files[self.run.failed_node] = self._traceback_of(self.run.failed_node)
        found = {}
        for node, file in files.items():
            if file is None or not file.exists():
                self._note("failure", f"The traceback of {node} was not found.")
            else:
                lines = file.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
                found[node] = "\n".join(lines[-_TRACEBACK_LINES:])
        return found

    def _traceback_of(self, node: str) -> Path | None:
        """The file that was written when a run ended at a node."""
        earliest = self.run.started.timestamp()
        latest = (self.run.finished or datetime.now(timezone.utc)).timestamp() + _TRACEBACK_DELAY
        found = []
        for root in self._roots():
            for path in sorted(root.glob(f"logs/*-{node}-traceback.txt")):
                written = path.stat().st_mtime
                if earliest <= written <= latest:
                    found.append((written, path))
        return max(found)[1] if found else None

    def _roots(self) -> list[Path]:
        """Folders that may be the pipeline root: above the artifacts, or as the config says."""
        roots = {Path(artifact.uri).parents[2]: None for artifact in self.graph.artifacts.values()}
        if self.config is not None:
            written = (self.config.get("run") or {}).get("pipeline_root")
            roots[Path(written or f".paredown/{self.run.pipeline}").absolute()] = None
        return list(roots)

    def _document(self, kind: type[Read], path: Path) -> Read | None:
        """A document; None, and a note, if it cannot be read."""
        try:
            return kind.read(path)
        except DocumentError as error:
            self._note("candidates", f"{error}.")
            return None

    def _json(self, path: Path, section: str, is_whole: Callable[[Any], bool]) -> Any | None:
        """Content of a file; None, and a note, if it cannot be read or is not what it should be."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if is_whole(found):
                return found
            self._note(section, f"{path} is damaged: parts of it are missing.")
        except OSError as error:
            self._note(section, f"{path} cannot be read: {error.strerror}.")
        except ValueError:
            self._note(section, f"{path} is damaged: it is not JSON.")
        return None


def _are_latencies(found: Any) -> bool:
    sides = [found.get(side) for side in ("candidate", "baseline")] if isinstance(found, dict) else [None]
    return all(
        isinstance(side, list)
        and side
        and all(isinstance(t, int | float) and math.isfinite(t) for t in side)
        for side in sides
    )


def _is_history(found: Any) -> bool:
    return (
        isinstance(found, dict)
        and isinstance(found.get("epochs"), list)
        and all(isinstance(epoch, dict) and "epoch" in epoch for epoch in found["epochs"])
    )


def _read_pushed(file: str, notes: dict[str, list[str]]) -> Pushed:
    from components.common.tflite import tflite_file

    try:
        read = tflite_file.read(file)
    except tflite_file.TFLiteFileError as error:
        notes.setdefault("usage", []).append(f"{file} is no longer a TFLite file: {error}")
        return Pushed(file)
    signature = read.signatures.get("serving_default")
    inputs, outputs = (signature.inputs, signature.outputs) if signature else (read.inputs, read.outputs)
    return Pushed(file, _ports(inputs), _ports(outputs))


def _ports(tensors: dict[str, Any]) -> tuple[Port, ...]:
    return tuple(
        Port(
            name,
            tensor.dtype,
            tuple(int(size) for size in tensor.shape),
            float(tensor.scales[0]) if len(tensor.scales) else None,
            int(tensor.zero_points[0]) if len(tensor.zero_points) else None,
        )
        for name, tensor in tensors.items()
    )
