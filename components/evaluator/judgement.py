"""A judgement: one limit, and what was measured. Imports neither TensorFlow nor TFX.

Texts (`figure`, `reason`) are for people; code reads the typed fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Literal

from components.common.base.document import LEFT_OUT_IF_EMPTY
from components.common.base.limit_bounds import LOWER_BOUNDS
from components.common.base.quantities import (
    bytes_text,
    distinct,
    exact_bytes_text,
    number_text,
    pair,
    time_text,
)
from components.measurer.measured import Slice, slice_text

Bound = Literal["min", "max", "max_drop", "max_ratio", "min_ratio", "type"]
# Bounds on ratios, which have no unit.
RATIOS: frozenset[Bound] = frozenset({"max_ratio", "min_ratio"})


class Kind(str, Enum):
    """The subject of a judgement. Limits of the gate come first, named as the gate names them."""

    ACCURACY = "accuracy"
    LATENCY = "latency"
    SIZE = "size"
    GZIP_SIZE = "gzip_size"
    BROTLI_SIZE = "brotli_size"
    MEMORY = "memory"
    FLASH = "flash"
    SAME_PREDICTION = "same_prediction"
    THROUGHPUT = "throughput"
    P99 = "p99"
    TRAFFIC = "traffic"
    EPSILON = "epsilon"
    WORST_CLIENT = "worst_client"
    NPU_CYCLES = "npu_cycles"
    NPU_SRAM = "npu_sram"
    NPU_FLASH = "npu_flash"
    NPU_CPU_OPERATORS = "npu_cpu_operators"
    INVARIANT = "invariant"
    TYPE = "type"
    SERVED = "served"


class FailureKind(str, Enum):
    """Why a judgement is not met, or what could not be done."""

    BEYOND_LIMIT = "beyond_limit"
    NOT_MEASURED = "not_measured"
    NOT_FINITE = "not_finite"
    NO_BASELINE = "no_baseline"
    NO_SUCH_SLICE = "no_such_slice"
    NO_INTERVAL = "no_interval"
    WRONG_TYPE = "wrong_type"
    # A failure of the whole verdict.
    CANDIDATE_NOT_LOADED = "candidate_not_loaded"
    BASELINE_NOT_LOADED = "baseline_not_loaded"
    MEASUREMENT_FAILED = "measurement_failed"
    PACKED_DIFFERS = "packed_differs"
    METRIC_UNDEFINED = "metric_undefined"
    BASELINE_AT_CHANCE = "baseline_at_chance"
    NOTHING_JUDGED = "nothing_judged"
    NODE_FAILED = "node_failed"


@dataclass(frozen=True)
class Figure:
    """The subject of a limit.

    Attributes:
        figure: Its name, for people: `accuracy`, `accuracy/AUC of digit[label=3]`, `p50 latency`, `sparsity[dense]`.
        kind: What it is about.
        metric: Metric of an accuracy with its arguments, `Precision(top_k=2)`.
        output: Output that the metric of an accuracy judges, if the model has several.
        slice: Slice of an accuracy; empty for all examples.
        percentile: Percentile of a latency.
        aspect: Which invariant (`sparsity`, `m_by_n`, `clusters`), which type (`weights`, `input`, `output`,
            `activations`, `operators`), what is served (`features`, `file`, `model`), or how a model server was asked
            (`REST`; `gRPC, batched`).
        layer: The layer, of an invariant or of the type of weights.
        tensor: The input or output, of a type.
    """

    figure: str
    kind: Kind
    metric: Annotated[str | None, LEFT_OUT_IF_EMPTY] = None
    output: Annotated[str | None, LEFT_OUT_IF_EMPTY] = None
    slice: Annotated[Slice, LEFT_OUT_IF_EMPTY] = ()
    percentile: Annotated[int | None, LEFT_OUT_IF_EMPTY] = None
    aspect: Annotated[str | None, LEFT_OUT_IF_EMPTY] = None
    layer: Annotated[str | None, LEFT_OUT_IF_EMPTY] = None
    tensor: Annotated[str | None, LEFT_OUT_IF_EMPTY] = None

    @property
    def title(self) -> str | None:
        """The metric of an accuracy as people read it, with its output."""
        return f"{self.metric} of {self.output}" if self.metric and self.output else self.metric

    @property
    def slice_text(self) -> str:
        """The slice as people write it; empty for all examples."""
        return slice_text(self.slice)


def latency_figure(percentile: int) -> Figure:
    """A percentile of the time of one inference, in milliseconds."""
    return Figure(f"p{percentile} latency", Kind.LATENCY, percentile=percentile)


def size_figure(of: Literal["file", "gzip", "brotli"]) -> Figure:
    """The bytes of the file, as it is or compressed."""
    return Figure("size", Kind.SIZE) if of == "file" else Figure(f"{of} size", Kind(f"{of}_size"))


def device_figure(of: Literal["memory", "flash"]) -> Figure:
    """Memory or flash that a file takes on its target."""
    return Figure(of, Kind(of))


def load_figure(of: Literal["throughput", "p99"], mode: str) -> Figure:
    """Requests a second of a model server, or the 99th percentile of their milliseconds, in a mode."""
    return Figure(f"{of} ({mode})", Kind(of), aspect=mode)


def answers_figure(protocol: str) -> Figure:
    """The number of a model server's answers that are not the interpreter's predictions."""
    return Figure(f"answers by {protocol} that differ", Kind.SERVED, aspect=protocol)


SAME_PREDICTION = Figure("share of predictions that are LiteRT's", Kind.SAME_PREDICTION)


def accuracy_figure(
    metric: str, output: str | None = None, slice: Slice = (), several: bool = False
) -> Figure:
    """A metric of the gate.

    Args:
        metric: With its arguments.
        output: That it is of, if the model has several.
        slice: The slice; empty for all examples.
        several: Whether the gate has a list of metrics; its title is then a part of the figure's name.
    """
    name = "accuracy" + (f"/{metric}{f' of {output}' if output else ''}" if several else "")
    figure = f"{name}[{slice_text(slice)}]" if slice else name
    return Figure(figure, Kind.ACCURACY, metric, output, slice)


@dataclass(frozen=True, kw_only=True)
class Judgement(Figure):
    """One limit: what was asked for, what was measured.

    Attributes:
        bound: How the limit bounds the figure; `type` if a type was asked for.
        limit: The bound's value; None for a type.
        value: The value that was compared with it; None if there is none.
        met: Whether it holds.
        reason: Why it does not hold, for people; empty if it does.
        key: The config key that sets the limit, `gate.accuracy.1.slices.0.max_drop`; empty if it is not a limit
            of the gate, but what a step was asked for.
        failure: Why it does not hold; None if it does.
        confidence: Level of the interval whose far end is the value; None if the figure itself is.
        estimate: The figure itself, if the value is the end of its interval.
        tolerance: How far beyond the limit a value may be that meets it; None if that is nothing.
    """

    bound: Bound
    limit: float | None
    value: float | None
    met: bool
    reason: str = ""
    key: Annotated[str, LEFT_OUT_IF_EMPTY] = ""
    failure: Annotated[FailureKind | None, LEFT_OUT_IF_EMPTY] = None
    confidence: Annotated[float | None, LEFT_OUT_IF_EMPTY] = None
    estimate: Annotated[float | None, LEFT_OUT_IF_EMPTY] = None
    tolerance: Annotated[float | None, LEFT_OUT_IF_EMPTY] = None

    @classmethod
    def on(
        cls,
        figure: Figure,
        bound: Bound,
        limit: float | None,
        value: float | None,
        reason: str = "",
        failure: FailureKind | None = None,
        key: str = "",
        confidence: float | None = None,
        estimate: float | None = None,
        tolerance: float | None = None,
    ) -> Judgement:
        """A judgement on a figure; it is met if there is no failure."""
        return cls(
            **vars(figure),
            bound=bound,
            limit=limit,
            value=value,
            met=failure is None,
            reason=reason if failure else "",
            key=key,
            failure=failure,
            confidence=confidence,
            estimate=estimate,
            tolerance=tolerance,
        )

    def texts(self) -> tuple[str, str]:
        """The measured and the allowed value in readable units, as texts that differ if the numbers do.

        Either is empty for a type, and a dash if it is not known. A tolerance is shown if the value needs it.
        """
        if self.bound == "type":
            return "", ""
        if self.value is None or self.limit is None:
            known = self.value if self.limit is None else self.limit
            shown = "–" if known is None else amounts(self.kind, self.bound, known, known)[0]
            return ("–", shown) if self.value is None else (shown, "–")
        measured, allowed = amounts(self.kind, self.bound, self.value, self.limit)
        return measured, allowed + self.tolerance_text

    @property
    def tolerance_text(self) -> str:
        """The tolerance, to be added to the limit, if the value is beyond the limit but within the tolerance."""
        if not (self.met and self.tolerance) or self.value is None or self.limit is None:
            return ""
        lower = self.bound in LOWER_BOUNDS
        beyond = self.value < self.limit if lower else self.value > self.limit
        return f" (tolerance {self.tolerance:g})" if beyond else ""


# Kinds whose figures are bytes.
IN_BYTES = frozenset(
    {
        Kind.SIZE,
        Kind.GZIP_SIZE,
        Kind.BROTLI_SIZE,
        Kind.MEMORY,
        Kind.FLASH,
        Kind.NPU_SRAM,
        Kind.NPU_FLASH,
        Kind.TRAFFIC,
    }
)


def amounts(kind: Kind, bound: Bound, value: float, limit: float) -> tuple[str, str]:
    """A value and its limit in people's units, as texts that differ if the numbers do."""
    if bound not in RATIOS:
        if kind in IN_BYTES:
            return pair(value, limit, [bytes_text, exact_bytes_text], "B")
        if kind in (Kind.LATENCY, Kind.P99):
            return pair(value, limit, [time_text], "ms")
    return distinct(value, limit) if value != limit else (number_text(value), number_text(limit))


@dataclass(frozen=True)
class Failure:
    """Something that could not be done at all.

    Attributes:
        kind: What it was.
        reason: The same for people, with the cause.
        node: Id of the node that failed, if that is what happened.
        traceback: File with its traceback; empty if there is none.
    """

    kind: FailureKind
    reason: str
    node: Annotated[str, LEFT_OUT_IF_EMPTY] = ""
    traceback: Annotated[str, LEFT_OUT_IF_EMPTY] = ""
