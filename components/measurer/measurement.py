"""The measurement of a candidate: what the Measurer writes and the Evaluator judges by limits.

An artifact's folder holds

measurement.json   the document
latency.json       milliseconds of each repetition, candidate and baseline in turns
predictions.npz    labels, predictions and slices of the eval split, if metrics were computed in this process:
                   `predictions.Predictions`
and what `tfma.load_eval_result` reads: TFMA's metrics and slices.

Imports neither TensorFlow nor TFX.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from components.common.base.document import LEFT_OUT_IF_EMPTY, Document
from components.measurer.comparison import Chance, ClassBalance, Uncertainty
from components.measurer.machine import Machine
from components.measurer.measured import Device, Latency, Side, Size, Skew, Slice, UnjudgedSlices
from components.measurer.served_load import ServedLoad

MEASUREMENT_FILE = "measurement.json"
LATENCY_FILE = "latency.json"
# Characters of the reasons that ML Metadata keeps.
REASON_LENGTH = 500
# Values of the Evaluator's `FailureKind`.
UnmeasuredKind = Literal[
    "candidate_not_loaded", "baseline_not_loaded", "measurement_failed", "packed_differs"
]


@dataclass(frozen=True)
class Unmeasured:
    """Something that could not be measured.

    Attributes:
        kind: Which file does not load, that a measurement failed, or that a packed file has other outputs.
        reason: What failed, for people, with the cause.
    """

    kind: UnmeasuredKind
    reason: str


@dataclass(frozen=True)
class SliceValues:
    """A metric in one slice of the eval examples.

    Attributes:
        slice: The slice; empty for all examples.
        candidate: The metric's value; None if TFMA has none, NaN if the metric is not defined on the examples.
        baseline: The baseline's.
        examples: Number of examples.
        uncertainty: Bootstrap intervals; None if the metric was not resampled.
    """

    slice: Slice
    candidate: float | None
    baseline: float | None
    examples: int
    uncertainty: Uncertainty | None = None


@dataclass(frozen=True)
class MetricValues:
    """A metric on all examples and in each slice.

    Attributes:
        title: As `params.Metric.title` gives it.
        values: All examples first.
        train_only: Slices that train has and eval does not.
        not_resampled: Why there are no intervals; empty if there are.
        chance: What the metric is without knowledge of an example; None if that says nothing.
        classes: How common the classes are; None if labels are not of classes that exclude each other.
    """

    title: str
    values: tuple[SliceValues, ...] = ()
    train_only: tuple[UnjudgedSlices, ...] = ()
    not_resampled: str = ""
    chance: Chance | None = None
    classes: ClassBalance | None = None


@dataclass(frozen=True)
class Measurement(Document):
    """Figures of a candidate and the baseline. What could not be measured is not there, and `failures` says why.

    Attributes:
        machine: Where the times were taken.
        files: Side → path of each model file, relative to the model's folder → SHA-256 of what was measured.
        failures: What could not be measured.
        sizes: Side → bytes of the file.
        latency: Times of one inference.
        metrics: Every metric that was asked for, or none.
        logits: Side → output whose values are logits → the activation that was applied before the metrics.
        transformed: Whether the examples went through Transform, so that `served` is needed.
        served: What differs in serving.
        device: What the files take on the runtime of their target, if that is not LiteRT.
        load: Both files on a model server, if the target is one.
    """

    TITLE: ClassVar[str] = "measurement"
    VERSION: ClassVar[int] = 1
    SPELLS_NAN: ClassVar[bool] = True

    machine: Machine
    files: dict[Side, dict[str, str]]
    failures: tuple[Unmeasured, ...] = ()
    sizes: dict[Side, Size] = field(default_factory=dict)
    latency: Latency | None = None
    metrics: tuple[MetricValues, ...] = ()
    logits: dict[Side, dict[str, str]] = field(default_factory=dict)
    transformed: bool = False
    served: Skew | None = None
    device: Annotated[Device | None, LEFT_OUT_IF_EMPTY] = None
    load: Annotated[ServedLoad | None, LEFT_OUT_IF_EMPTY] = None

    @classmethod
    def of(cls, uri: str) -> Measurement:
        """The measurement in an artifact's folder.

        Raises:
            DocumentError: If it is not there or is damaged.
        """
        return cls.read(os.path.join(uri, MEASUREMENT_FILE))

    def metric(self, title: str) -> MetricValues:
        """The values of a metric; none if it was not measured."""
        return next((one for one in self.metrics if one.title == title), MetricValues(title))

    def properties(self) -> dict[str, int | float | str]:
        """Its custom properties of the artifact in ML Metadata."""
        ratio = {"latency_ratio": self.latency.ratio} if self.latency else {}
        reasons = "; ".join(one.reason for one in self.failures)[:REASON_LENGTH]
        failed = {"failures": reasons} if reasons else {}
        if self.device:
            failed["device_runtime"] = self.device.runtime
        machine = self.machine
        return {"cpu": machine.cpu, "cores": machine.cores, "runtime": machine.runtime, **ratio, **failed}
