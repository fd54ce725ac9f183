"""What a report tells of a run, read from ML Metadata and the artifacts' files.

Whatever is no longer there (files that were removed, a run from before Paredown wrote them) is a note in
the section that it belongs to, never an error: the page of an old run has gaps, and says so.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pipeline.lineage import graph as lineage
from pipeline.lineage.graph import Graph
from pipeline.lineage.verdict_file import is_report, is_verdict
from pipeline.store.reader import Reader
from pipeline.store.records import Artifact, Execution, Run
from pipeline.store.state import State

# Seconds that a traceback may be written after the run's record says that it ended.
_TRACEBACK_DELAY = 120
_TRACEBACK_LINES = 30


@dataclass(frozen=True)
class Latencies:
    """Every repetition of a measurement of latency, in milliseconds, in order."""

    candidate: tuple[float, ...]
    baseline: tuple[float, ...]


@dataclass(frozen=True)
class Candidate:
    """A candidate that was judged.

    Attributes:
        name: As the config has it; the id of the node that judged it, where no config is known.
        verdict: As components.evaluator.verdict writes it.
        model: Id of its `Model` artifact; None where the store does not tell.
        latencies: None where they were not kept.
    """

    name: str
    verdict: dict[str, Any]
    model: int | None = None
    latencies: Latencies | None = None

    @property
    def measured(self) -> dict[str, Any]:
        """Figures by name."""
        return self.verdict["measured"]

    @property
    def passed(self) -> bool:
        """Whether the gate blessed it."""
        return bool(self.verdict["blessed"])

    @property
    def layers(self) -> dict[str, dict[str, Any]]:
        """Layer → dtype, weights, sparsity, unique, as they stand in the file."""
        return self.measured.get("file", {}).get("layers", {})

    def accuracy(self, side: str = "candidate") -> float | None:
        """The gate's metric, of the candidate or the baseline."""
        return self.measured.get("accuracy", {}).get(side)

    def size(self, of: str, side: str = "candidate") -> int | None:
        """Bytes, of the `file` or `gzip`-compressed."""
        return self.measured.get("size", {}).get(side, {}).get(of)

    def size_ratio(self, of: str) -> float | None:
        """Bytes in relation to the baseline's."""
        mine, other = self.size(of), self.size(of, "baseline")
        return mine / other if mine is not None and other else None

    def latency(self, side: str = "candidate", percentile: str = "") -> float | None:
        """Milliseconds at a percentile: the gate's where none is given."""
        measured = self.measured.get("latency", {})
        return measured.get(side, {}).get(percentile or str(measured.get("percentile")))


@dataclass(frozen=True)
class Curve:
    """How a training step went.

    Attributes:
        node: Its id.
        epochs: As history.json has them: `epoch`, `loss`, `val_loss` and so on.
        kept_epoch: The epoch whose weights the model has, from 1.
    """

    node: str
    epochs: tuple[dict[str, float], ...]
    kept_epoch: int | None


@dataclass(frozen=True)
class Step:
    """A node of the run.

    Attributes:
        node: Its id.
        type: Last part of the component's name, e.g. `Pruner`.
        state: How it went in this run.
        seconds: Wall-clock time in this run; None where it was not recorded.
        execution: The execution that made its outputs, of this run or an earlier one.
        parameters: What the node was given.
        facts: What was recorded of its output.
        reads: Input key → the node that made what it read.
    """

    node: str
    type: str
    state: State
    seconds: float | None
    execution: int
    parameters: dict[str, Any]
    facts: dict[str, Any]
    reads: dict[str, str]


@dataclass(frozen=True)
class Port:
    """An input or output of the pushed file: shape with −1 for the batch, and how it is quantized."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    scale: float | None
    zero_point: int | None


@dataclass(frozen=True)
class Pushed:
    """The model that was pushed, as far as it is still there.

    Attributes:
        file: Its path.
        inputs: None where the file cannot be read any more.
        outputs: Likewise.
    """

    file: str
    inputs: tuple[Port, ...] | None = None
    outputs: tuple[Port, ...] | None = None


@dataclass(frozen=True)
class ReportData:
    """All that a report shows.

    Attributes:
        run: The run.
        selection: As components.selector.executor.build_report makes it; where the Selector was not
            reached, what was judged until then.
        selected: Whether the Selector was reached.
        candidates: In the order of the config.
        baseline_layers: As `Candidate.layers`, of the baseline's file.
        gate: As the config has it.
        config, environment, data: Documents of the run; None where it left none.
        curves: Of every step that trained.
        steps: In the order in which they ran.
        graph: What the run's outputs were made from.
        pushed: None where nothing was.
        traceback: The end of it, where a node failed.
        notes: Section → what is missing there, and why.
    """

    run: Run
    selection: dict[str, Any]
    selected: bool
    candidates: tuple[Candidate, ...]
    baseline_layers: dict[str, dict[str, Any]]
    gate: dict[str, Any]
    config: dict[str, Any] | None
    environment: dict[str, Any] | None
    data: dict[str, Any] | None
    curves: tuple[Curve, ...]
    steps: tuple[Step, ...]
    graph: Graph
    pushed: Pushed | None
    traceback: str
    notes: dict[str, list[str]] = field(default_factory=dict)

    @property
    def winner(self) -> Candidate | None:
        """The selected candidate."""
        return next((c for c in self.candidates if c.name == self.selection["winner"]), None)

    @property
    def ascending(self) -> bool:
        """Whether a higher value of the gate's metric is a better one."""
        found = [c.measured.get("accuracy", {}).get("higher_is_better") for c in self.candidates]
        return next((value for value in found if value is not None), True)

    @property
    def metric(self) -> str:
        """Name of the gate's metric."""
        found = [c.measured.get("accuracy", {}).get("figure") for c in self.candidates]
        titled = next((title for title in found if title), None)
        return titled or self.first_gate.get("metric", "accuracy")

    @property
    def first_gate(self) -> dict[str, Any]:
        """The gate's section on its metric; of several, on the first one."""
        section = self.gate.get("accuracy", {})
        return section[0] if isinstance(section, list) else section

    @property
    def figure(self) -> str:
        """The name that judgements have for that metric."""
        return f"accuracy/{self.metric}" if isinstance(self.gate.get("accuracy"), list) else "accuracy"

    def baseline(self, figure: str) -> float | None:
        """The baseline's `accuracy`, `file`, `gzip` or `latency`; every evaluation measures it anew."""
        for candidate in self.candidates:
            if figure == "accuracy":
                value = candidate.accuracy("baseline")
            elif figure == "latency":
                value = candidate.latency("baseline")
            else:
                value = candidate.size(figure, "baseline")
            if value is not None:
                return value
        return None


def collect(reader: Reader, run: Run) -> ReportData:
    """Reads all that there is to say of a run.

    Args:
        reader: Of the store.
        run: Of it.
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
        """Puts everything together."""
        steps = self._steps()
        selection = self._selection()
        if self.config is None:
            self._note("config", "The run left no config: it is from before Paredown recorded it.")
        candidates = self._candidates(selection)
        if selection is None:
            selection = {"winner": None, "select": (self.config or {}).get("select", {})}
        return ReportData(
            run=self.run,
            selection={**selection, "candidates": {c.name: c.verdict for c in candidates}},
            selected=bool(self._of_type("Selector")),
            candidates=candidates,
            baseline_layers=self._baseline_layers(),
            gate=self._gate(),
            config=self.config,
            environment=self.reader.document(self.run.environment_hash),
            data=self.reader.document(self.run.data_hash),
            curves=self._curves(steps),
            steps=steps,
            graph=self.graph,
            pushed=self._pushed(),
            traceback=self._traceback(),
            notes=self.notes,
        )

    def _note(self, section: str, text: str) -> None:
        self.notes.setdefault(section, []).append(text)

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
            # Of a cached node, the execution that made what it took.
            source = next((p for p in producers if p is not None), execution)
            recorded = self.run.nodes.get(execution.node)
            outputs = [
                self.graph.artifacts[a] for a in self.made[execution.id] if a in self.graph.artifacts
            ]
            facts = [o.properties for o in outputs if o.type in ("Model", "ModelEvaluation", "PushedModel")]
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

    def _selection(self) -> dict[str, Any] | None:
        """The Selector's report; None where there is none."""
        for selector in self._of_type("Selector"):
            for artifact in self.graph.outputs(selector.id).get("report", []):
                return self._json(Path(artifact.uri, "report.json"), "candidates", is_report)
        return None

    def _candidates(self, selection: dict[str, Any] | None) -> tuple[Candidate, ...]:
        """Every candidate that was judged, with or without a Selector that took them together."""
        judged = {}
        for evaluator in reversed(self._of_type("Evaluator")):
            inputs, outputs = self.graph.inputs(evaluator.id), self.graph.outputs(evaluator.id)
            evaluation = outputs["evaluation"][0]
            verdict = self._json(Path(evaluation.uri, "verdict.json"), "candidates", is_verdict)
            if verdict is not None:
                name = self._name(verdict) or evaluator.node
                model = inputs["model"][0].id if "model" in inputs else None
                judged[evaluation.id] = Candidate(name, verdict, model, self._latencies(evaluation.uri))
        if selection is None:
            found = list(judged.values())
            order = list((self.config or {}).get("candidates", {}))
            return tuple(
                sorted(found, key=lambda c: order.index(c.name) if c.name in order else len(order))
            )
        evaluations = self._selector_inputs("evaluation_")
        models = self._selector_inputs("model_")
        candidates = []
        for name, verdict in selection["candidates"].items():
            key = name.replace("-", "_")
            other = judged.get(evaluations.get(key, -1))
            latencies = other.latencies if other else None
            candidates.append(Candidate(name, verdict, models.get(key), latencies))
        return tuple(candidates)

    def _selector_inputs(self, prefix: str) -> dict[str, int]:
        selector = self._of_type("Selector")[0]
        inputs = self.graph.inputs(selector.id)
        return {k.removeprefix(prefix): found[0].id for k, found in inputs.items() if k.startswith(prefix)}

    def _name(self, verdict: dict[str, Any]) -> str | None:
        """The candidate of the config whose steps are those that the verdict was given on."""
        for name, chain in (self.config or {}).get("candidates", {}).items():
            steps = [
                {"technique": technique, **options}
                for step in chain
                for technique, options in step.items()
                if options is not None
            ]
            if steps == verdict["measured"].get("steps"):
                return name
        return None

    def _latencies(self, uri: str) -> Latencies | None:
        path = Path(uri, "latency.json")
        if not path.exists():
            self._note_once("latency", "Single repetitions were not kept: percentiles are shown.")
            return None
        found = self._json(path, "latency", _are_latencies)
        return Latencies(tuple(found["candidate"]), tuple(found["baseline"])) if found else None

    def _note_once(self, section: str, text: str) -> None:
        if text not in self.notes.get(section, []):
            self._note(section, text)

    def _baseline_layers(self) -> dict[str, dict[str, Any]]:
        for evaluator in self._of_type("Evaluator"):
            for artifact in self.graph.inputs(evaluator.id).get("baseline", []):
                if "layers" in artifact.properties:
                    return json.loads(artifact.properties["layers"])
        self._note("layers", "The baseline's layers were not recorded.")
        return {}

    def _gate(self) -> dict[str, Any]:
        if self.config is not None:
            return self.config["gate"]
        for evaluator in self._of_type("Evaluator"):
            if "gate" in evaluator.properties:
                return json.loads(evaluator.properties["gate"])
        return {}

    def _curves(self, steps: Iterable[Step]) -> tuple[Curve, ...]:
        curves, without = [], []
        for step in steps:
            for artifact in self._models(step):
                path = Path(artifact.uri, "history.json")
                if not path.exists():
                    if step.type == "Trainer" or "trained_epochs" in artifact.properties:
                        without.append(step.node)
                    continue
                history = self._json(path, "curves", _is_history)
                if history is not None:
                    curves.append(Curve(step.node, tuple(history["epochs"]), history.get("kept_epoch")))
        if without:
            self._note("curves", f"No learning curve was kept of {', '.join(without)}.")
        return tuple(curves)

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
            self._note("usage", f"{self.run.pushed} is not there any more, or not on this machine.")
            return Pushed(file)
        return _read_pushed(file, self.notes)

    def _traceback(self) -> str:
        """The end of the traceback that the command kept beside its log."""
        if not self.run.failed_node:
            return ""
        earliest = self.run.started.timestamp()
        latest = (self.run.finished or datetime.now(timezone.utc)).timestamp() + _TRACEBACK_DELAY
        found = []
        for root in self._roots():
            for path in sorted(root.glob(f"logs/*-{self.run.failed_node}-traceback.txt")):
                written = path.stat().st_mtime
                if earliest <= written <= latest:
                    found.append((written, path))
        if not found:
            self._note("failure", "The traceback was not found.")
            return ""
        lines = max(found)[1].read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
        return "\n".join(lines[-_TRACEBACK_LINES:])

    def _roots(self) -> list[Path]:
        """Where the pipeline root may be: above its artifacts, or where the config says."""
        roots = {Path(artifact.uri).parents[2]: None for artifact in self.graph.artifacts.values()}
        if self.config is not None:
            written = (self.config.get("run") or {}).get("pipeline_root")
            roots[Path(written or f".paredown/{self.run.pipeline}").absolute()] = None
        return list(roots)

    def _json(self, path: Path, section: str, is_whole: Callable[[Any], bool]) -> Any | None:
        """Content of a file; None, and a note, where it cannot be read or is not what it should be."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if is_whole(found):
                return found
            self._note(section, f"{path} is damaged: parts of it are missing.")
        except OSError as error:
            self._note(section, f"{path} cannot be read: {error.strerror}.")
        except ValueError:
            self._note(section, f"{path} is damaged: it is no JSON.")
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
        notes.setdefault("usage", []).append(f"{file} is no TFLite file any more: {error}")
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
