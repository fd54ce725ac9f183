"""Measurements of a candidate and the baseline. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from components.common.base.document import LEFT_OUT_IF_EMPTY
from components.common.base.quantities import bytes_text
from components.common.base.sensitivity import Repair
from components.common.tflite.arena import Arena
from components.common.tflite.npu_figures import NpuFigures
from components.measurer.comparison import Chance, ClassBalance, Interval, LostClass, Uncertainty
from components.measurer.file_facts import FileFacts
from components.measurer.packed import Packed
from components.measurer.served_load import ServedLoad

# Which of the two models a figure is of.
Side = Literal["candidate", "baseline"]
SIDES: tuple[Side, ...] = get_args(Side)
# Percentiles of the times of one inference.
PERCENTILES = (50, 90, 99)


@dataclass(frozen=True)
class SliceValue:
    """One feature of a slice of the eval examples.

    Attributes:
        feature: Its name.
        value: Its value as text; None for a slice by this feature that no example is in.
    """

    feature: str
    value: str | None


Slice = tuple[SliceValue, ...]


def slice_text(values: Slice) -> str:
    """A slice as people write it: `label=3`; of a slice that no example is in, its features alone."""
    if all(one.value is None for one in values):
        return "×".join(one.feature for one in values)
    return ",".join(f"{one.feature}={one.value}" for one in values)


@dataclass(frozen=True)
class SliceAccuracy:
    """A metric in one slice.

    Attributes:
        slice: The slice as people write it.
        candidate: The metric's value; None if TFMA has none.
        baseline: The baseline's.
        examples: Number of examples.
        values: The slice's features and their values.
        uncertainty: Bootstrap intervals; None if the metric was not resampled.
    """

    slice: str
    candidate: float | None
    baseline: float | None
    examples: int
    values: Slice = ()
    uncertainty: Annotated[Uncertainty | None, LEFT_OUT_IF_EMPTY] = None

    @property
    def change(self) -> float | None:
        """The candidate's value less the baseline's; None if one of them was not measured."""
        if self.candidate is None or self.baseline is None:
            return None
        return self.candidate - self.baseline


@dataclass(frozen=True)
class UnjudgedSlices:
    """Slices by some features that train has and eval does not, so that no limit holds for them.

    Attributes:
        features: The features, sorted.
        slices: Number of slices.
        examples: Number of train examples in them.
        most_frequent: The first of the slices, those with most train examples first.
    """

    features: tuple[str, ...]
    slices: int
    examples: int
    most_frequent: tuple[Slice, ...] = ()

    @property
    def text(self) -> str:
        """The finding in one sentence."""
        listed = "; ".join(slice_text(one) for one in self.most_frequent[:5])
        more = ", …" if self.slices > 5 else ""
        number, there, them = (
            ("1 slice", "is", "it") if self.slices == 1 else (f"{self.slices:,} slices", "are", "them")
        )
        examples = "1 example" if self.examples == 1 else f"{self.examples:,} examples"
        return (
            f"{number} by {'×'.join(self.features)} {there} not judged: train has {examples} of {them} and eval none "
            f"({listed}{more})"
        )


@dataclass(frozen=True)
class Accuracy:
    """One metric of the gate on all eval examples, and in each slice.

    Attributes:
        metric: TFMA's class name.
        higher_is_better: Whether a higher value is better.
        candidate: The metric's value; None if it was not measured.
        baseline: The baseline's.
        examples: Number of examples.
        slices: The same for each slice.
        figure: The metric's title if the gate has several metrics or this one is of an output; else None.
        output: The model's output that the metric is of, if the model has several.
        unjudged: Slices without `values` in the gate that only train has.
        uncertainty: Bootstrap intervals; None if the metric was not resampled.
        not_resampled: Why it was not; None if it was.
        chance: What the metric is without knowledge of an example; None if that says nothing.
        classes: How common the classes are; None if labels are not of classes that exclude each other.
        lost: Classes that the candidate has lost while the gate looks at no class alone.
    """

    metric: str
    higher_is_better: bool
    candidate: float | None = None
    baseline: float | None = None
    examples: int = 0
    slices: tuple[SliceAccuracy, ...] = ()
    figure: Annotated[str | None, LEFT_OUT_IF_EMPTY] = None
    output: Annotated[str | None, LEFT_OUT_IF_EMPTY] = None
    unjudged: Annotated[tuple[UnjudgedSlices, ...], LEFT_OUT_IF_EMPTY] = ()
    uncertainty: Annotated[Uncertainty | None, LEFT_OUT_IF_EMPTY] = None
    not_resampled: Annotated[str | None, LEFT_OUT_IF_EMPTY] = None
    chance: Annotated[Chance | None, LEFT_OUT_IF_EMPTY] = None
    classes: Annotated[ClassBalance | None, LEFT_OUT_IF_EMPTY] = None
    lost: Annotated[tuple[LostClass, ...], LEFT_OUT_IF_EMPTY] = ()

    @property
    def drop_interval(self) -> Interval | None:
        """The 95 % interval of the drop; None if the metric was not resampled."""
        return self.uncertainty.drop(self.higher_is_better) if self.uncertainty else None

    @property
    def title(self) -> str:
        """The metric as people read it: `Precision(top_k=2) of tags`."""
        return self.figure or self.metric

    @property
    def drop(self) -> float | None:
        """How much worse than the baseline the candidate is, in the metric's unit; negative if it is better."""
        if self.candidate is None or self.baseline is None:
            return None
        drop = self.baseline - self.candidate
        return drop if self.higher_is_better else -drop


@dataclass(frozen=True)
class Latency:
    """Times of one inference, candidate and baseline in turns in one process.

    Attributes:
        candidate: Percentile (50, 90, 99) → milliseconds.
        baseline: The same of the baseline.
        percentile: The gate's.
        ratio: Candidate / baseline at that percentile.
        ratio_low: Lower end of the ratio's bootstrap interval (95 %).
        ratio_high: Upper end.
        threads: Threads of the interpreters.
        repetitions: Timed inferences of each.
        cpu: The processor's name.
    """

    candidate: dict[int, float]
    baseline: dict[int, float]
    percentile: int
    ratio: float
    ratio_low: float
    ratio_high: float
    threads: int
    repetitions: int
    cpu: str

    def at(self, side: Side, percentile: int | None = None) -> float | None:
        """Milliseconds at a percentile; at the gate's if none is given."""
        times = self.candidate if side == "candidate" else self.baseline
        return times.get(self.percentile if percentile is None else percentile)


@dataclass(frozen=True)
class Size:
    """Bytes of a file.

    Attributes:
        file: As it is.
        gzip: Gzip-compressed at level 9.
        brotli: Brotli-compressed at level 11; None if the target is not web.
    """

    file: int
    gzip: int
    brotli: Annotated[int | None, LEFT_OUT_IF_EMPTY] = None


@dataclass(frozen=True)
class Sizes:
    """Sizes of both files."""

    candidate: Size
    baseline: Size

    def ratio(self, of: Literal["file", "gzip", "brotli"]) -> float | None:
        """The candidate's bytes / the baseline's."""
        mine, other = getattr(self.candidate, of), getattr(self.baseline, of)
        return mine / other if other else None


@dataclass(frozen=True)
class Device:
    """Memory and flash of candidate and baseline on the runtime of their target, if that is not LiteRT.

    Attributes:
        runtime: Its name and version.
        memory: RAM that it takes.
        flash: Bytes of the model in flash. Of a packed candidate, both are those of the packed file.
        same_prediction: Share of the eval examples of which it predicts the same as LiteRT by the candidate; None if
            that was not measured.
        examples: Number of these.
        packed: The candidate's packed file beside the plain one, if it has one.
        npu: Vela's estimates of the candidate, if the target has an NPU.
    """

    runtime: str
    memory: dict[Side, Arena] = field(default_factory=dict)
    flash: dict[Side, int] = field(default_factory=dict)
    same_prediction: float | None = None
    examples: int = 0
    packed: Annotated[Packed | None, LEFT_OUT_IF_EMPTY] = None
    npu: Annotated[NpuFigures | None, LEFT_OUT_IF_EMPTY] = None

    @property
    def text(self) -> str:
        """The candidate's figures in one line."""
        parts = [f"memory {bytes_text(self.bytes('memory'))}"] if self.memory else []
        parts += [f"flash {bytes_text(self.bytes('flash'))}"] if self.flash else []
        parts += [f"packed {self.packed.flash_ratio:.3f} × flash"] if self.packed else []
        parts += [] if self.same_prediction is None else [f"{self.same_prediction:.2%} as LiteRT"]
        return f"on {self.runtime}: {', '.join(parts)}"

    def bytes(self, of: Literal["memory", "flash"], side: Side = "candidate") -> int | None:
        """Bytes of memory or flash; None if they were not measured."""
        if of == "flash":
            return self.flash.get(side)
        found = self.memory.get(side)
        return found.total if found else None


@dataclass(frozen=True)
class Skew:
    """Differences between what is served and what the pipeline trained on, on the eval split.

    Attributes:
        examples: Examples whose features were compared: all of the split.
        differing: Of these, the ones whose served features are not the pipeline's.
        rounded: The ones whose features differ in their last bits.
        predicted: Examples whose predictions were compared.
        file_error: Greatest difference between the file's predictions on served features and on the pipeline's.
        model_error: Greatest difference between the SavedModel's predictions on raw examples and the file's.
        conversion_error: How far the file is from the model that it was converted from, by the converter.
        tolerance: What float32 arithmetic may add to that.
    """

    examples: int
    differing: int
    rounded: int
    predicted: int
    file_error: float | None
    model_error: float | None
    conversion_error: float
    tolerance: float


@dataclass(frozen=True)
class Measured:
    """All figures of one evaluation. What could not be measured is None.

    Attributes:
        steps: The candidate's chain: `technique` and the step's options.
        size: Sizes of both files.
        file: What is in the candidate's file.
        invariants: The figure of the layer that is worst off, for each kind of invariant that was asked for.
        latency: Times of one inference.
        accuracy: The gate's metric; of several, the first one.
        accuracies: All of them, if the gate has several.
        activations: Side → output whose values are logits → the activation (softmax, sigmoid) that was applied
            before the metrics.
        served: What differs in serving, if the examples went through Transform.
        device: What the files take on the runtime of their target, if that is not LiteRT.
        load: Candidate and baseline on a model server, if the target is one.
        repair: What the conversion did about layers that lose accuracy, if it was asked to.
    """

    steps: tuple[dict[str, Any], ...] = ()
    size: Annotated[Sizes | None, LEFT_OUT_IF_EMPTY] = None
    file: Annotated[FileFacts | None, LEFT_OUT_IF_EMPTY] = None
    invariants: dict[str, int | float] = field(default_factory=dict)
    latency: Annotated[Latency | None, LEFT_OUT_IF_EMPTY] = None
    accuracy: Annotated[Accuracy | None, LEFT_OUT_IF_EMPTY] = None
    accuracies: Annotated[tuple[Accuracy, ...], LEFT_OUT_IF_EMPTY] = ()
    activations: Annotated[dict[Side, dict[str, str]], LEFT_OUT_IF_EMPTY] = field(default_factory=dict)
    served: Annotated[Skew | None, LEFT_OUT_IF_EMPTY] = None
    device: Annotated[Device | None, LEFT_OUT_IF_EMPTY] = None
    load: Annotated[ServedLoad | None, LEFT_OUT_IF_EMPTY] = None
    repair: Annotated[Repair | None, LEFT_OUT_IF_EMPTY] = None

    @property
    def metrics(self) -> tuple[Accuracy, ...]:
        """Every metric of the gate that was measured, in the gate's order."""
        return self.accuracies or ((self.accuracy,) if self.accuracy else ())

    @property
    def unjudged(self) -> tuple[UnjudgedSlices, ...]:
        """The slices of all metrics that only train has, without repetitions."""
        return tuple(dict.fromkeys(one for metric in self.metrics for one in metric.unjudged))

    @property
    def by_technique(self) -> Mapping[str, dict[str, Any]]:
        """Technique → options of the last step of it."""
        return {step["technique"]: step for step in self.steps}

    def bytes(self, of: Literal["file", "gzip", "brotli"], side: Side = "candidate") -> int | None:
        """Bytes of a file; None if they were not measured."""
        return None if self.size is None else getattr(getattr(self.size, side), of)

    def device_bytes(self, of: Literal["memory", "flash"], side: Side = "candidate") -> int | None:
        """Bytes of memory or flash on the target; None if they were not measured."""
        return None if self.device is None else self.device.bytes(of, side)

    def milliseconds(self, side: Side = "candidate", percentile: int | None = None) -> float | None:
        """Time of one inference at a percentile; at the gate's if none is given."""
        return None if self.latency is None else self.latency.at(side, percentile)
