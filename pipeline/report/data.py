"""The content of a report about a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from rich.console import Console

from components.evaluator.judgement import Judgement
from components.evaluator.params import Gate, SizeOf
from components.evaluator.verdict import Verdict
from components.federated_trainer.record import FederatedRecord
from components.measurer.file_facts import Layer
from components.measurer.measured import Measured, Side, SliceAccuracy
from components.selector.params import SelectOptions
from pipeline.base.shown import Shown
from pipeline.lineage.graph import Graph
from pipeline.run.verdict_table import verdict_table
from pipeline.store.records import Run
from pipeline.store.search_record import SearchRecord
from pipeline.store.state import State

# Of the gate's metric, bytes of the file, bytes compressed by either, milliseconds of one inference, bytes of memory,
# Vela's estimate of the cycles on an NPU, for which the baseline is not compiled, or the greatest ratio of a model
# server's p99s to the baseline's.
Figure = Literal["accuracy", "file", "gzip", "brotli", "latency", "memory", "npu_cycles", "p99"]
Cost = Literal["file", "gzip", "brotli", "latency", "memory", "npu_cycles", "p99"]


@dataclass(frozen=True)
class Latencies:
    """Every repetition of a measurement of latency, in milliseconds, in order."""

    candidate: tuple[float, ...]
    baseline: tuple[float, ...]


@dataclass(frozen=True)
class Candidate:
    """A candidate that was judged.

    Attributes:
        name: As the config has it; the id of the node that judged it if no config is known.
        verdict: The Evaluator's.
        model: Id of its `Model` artifact; None if the store does not know it.
        latencies: None if they were not kept.
    """

    name: str
    verdict: Verdict
    model: int | None = None
    latencies: Latencies | None = None

    @property
    def measured(self) -> Measured:
        """The figures."""
        return self.verdict.measured

    @property
    def passed(self) -> bool:
        """Whether the gate blessed it."""
        return self.verdict.blessed

    @property
    def layers(self) -> dict[str, Layer]:
        """Layer → its weights in the file."""
        return self.measured.file.layers if self.measured.file else {}

    @property
    def slices(self) -> dict[str, SliceAccuracy]:
        """Slice as people write it → the gate's metric in it."""
        accuracy = self.measured.accuracy
        return {one.slice: one for one in accuracy.slices} if accuracy else {}

    @property
    def slice_judgements(self) -> list[Judgement]:
        """The limits of slices; of several metrics, those of the first one."""
        several = self.measured.accuracies
        return [
            j for j in self.verdict.judgements if j.slice and (not several or j.title == several[0].title)
        ]

    def figure(self, name: Figure, side: Side = "candidate") -> float | None:
        """The candidate's or the baseline's value of a figure; None if it was not measured."""
        if name == "accuracy":
            accuracy = self.measured.accuracy
            return getattr(accuracy, side) if accuracy else None
        if name == "latency":
            return self.measured.milliseconds(side)
        if name == "memory":
            return self.measured.device_bytes("memory", side)
        if name == "p99":
            ratios = [mode.p99_ratio for mode in self.measured.load.modes] if self.measured.load else []
            return (max(ratios) if side == "candidate" else 1.0) if ratios else None
        if name == "npu_cycles":
            npu = self.measured.device.npu if self.measured.device and side == "candidate" else None
            return npu.cycles if npu and not npu.on_cpu else None  # Vela does not estimate those of the CPU
        return self.measured.bytes(name, side)

    def size_ratio(self, of: SizeOf) -> float | None:
        """Bytes / the baseline's."""
        return self.measured.size.ratio(of) if self.measured.size else None

    @property
    def latency_ratio(self) -> float | None:
        """Time of one inference / the baseline's, at the gate's percentile."""
        return self.measured.latency.ratio if self.measured.latency else None


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
        seconds: Wall-clock time in this run; None if it was not recorded.
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
        inputs: None if the file cannot be read any more.
        outputs: Likewise.
    """

    file: str
    inputs: tuple[Port, ...] | None = None
    outputs: tuple[Port, ...] | None = None


@dataclass(frozen=True)
class ReportData(Shown):
    """All that a report shows.

    Attributes:
        run: The run.
        winner_name: The selected candidate; None if there is none.
        select: What it was selected by; None if that is not known.
        selected: Whether the Selector was reached.
        candidates: In the order of the config.
        baseline_layers: As `Candidate.layers`, of the baseline's file.
        gate: The limits; None if they are not known.
        config, environment, data: Documents of the run; None if it left none.
        curves: Curves of every step that trained.
        steps: In the order in which they ran.
        graph: What the run's outputs were made from.
        pushed: None if nothing was pushed.
        tracebacks: Node that failed → the end of its traceback.
        notes: Section → what is missing there, and why.
        search: The record of the search that the run is part of; None if it is not.
        federated: The record of the baseline's training; None if it was not federated.
    """

    run: Run
    winner_name: str | None
    select: SelectOptions | None
    selected: bool
    candidates: tuple[Candidate, ...]
    baseline_layers: dict[str, Layer]
    gate: Gate | None
    config: dict[str, Any] | None
    environment: dict[str, Any] | None
    data: dict[str, Any] | None
    curves: tuple[Curve, ...]
    steps: tuple[Step, ...]
    graph: Graph
    pushed: Pushed | None
    tracebacks: dict[str, str]
    notes: dict[str, list[str]] = field(default_factory=dict)
    search: SearchRecord | None = None
    federated: FederatedRecord | None = None

    def show(self, console: Console) -> None:
        """Prints how the run went, and the candidates beside the baseline."""
        run = self.run
        went = f"{run.pipeline}, run {run.id}: {run.status}"
        console.print(f"{went} at {run.failed_node}" if run.failed_node else went, markup=False)
        if self.verdicts:
            console.print(verdict_table(self.verdicts, self.winner_name, console.width, self.select))

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """Candidate → its verdict."""
        return {candidate.name: candidate.verdict for candidate in self.candidates}

    @property
    def winner(self) -> Candidate | None:
        """The selected candidate."""
        return next((c for c in self.candidates if c.name == self.winner_name), None)

    @property
    def ascending(self) -> bool:
        """Whether a higher value of the gate's metric is better."""
        found = (c.measured.accuracy for c in self.candidates)
        return next((accuracy.higher_is_better for accuracy in found if accuracy), True)

    @property
    def metric(self) -> str:
        """Name of the gate's metric; of several, of the first one."""
        found = (c.measured.accuracy for c in self.candidates)
        named = self.gate.accuracies()[0].metric if self.gate else "accuracy"
        return next((accuracy.title for accuracy in found if accuracy), named)

    def baseline(self, figure: Figure) -> float | None:
        """The baseline's value of a figure; every evaluation measures it again."""
        found = (candidate.figure(figure, "baseline") for candidate in self.candidates)
        return next((value for value in found if value is not None), None)
