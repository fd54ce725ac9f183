"""The gate: what a candidate must meet to be blessed."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from components.common.base import metric_direction
from components.common.base.held_back_limit import HeldBackLimit
from components.common.base.metric_facts import MEANS
from components.common.base.npu_options import NpuOptions
from components.common.base.options import Options
from components.evaluator.federated_limits import FederatedLimits, TrafficLimits, WorstClientLimits
from components.evaluator.limits import (
    AccuracyLimits,
    Limits,
    LoadLimits,
    ShareLimits,
    SizeLimits,
    without_bounds,
)
from components.measurer.params import LatencyOptions, MeasureOptions, Metric, Slicing

SizeOf = Literal["file", "gzip", "brotli"]
# Figures of a device that only some targets measure.
DeviceOf = Literal["memory", "flash"]
LoadOf = Literal["throughput", "p99"]


class SliceLimits(Slicing, AccuracyLimits):
    """Bounds that the accuracy metric must meet in every slice of the eval examples.

    Each value of the feature `by` (each combination of values if it is a list) is a slice. If `values` are set,
    only those slices are judged, and each of them must exist.
    """

    values: list[str | int] = Field(
        default=[],
        description="Values of the feature whose slices are judged. Default: all.",
    )

    @model_validator(mode="after")
    def _values_are_of_one_feature(self) -> SliceLimits:
        if self.values and len(self.features()) > 1:
            raise ValueError(
                f"values belong to one feature, and `by` names {len(self.features())}; write by: "
                f"{self.features()[0]}, or remove `values`"
            )
        return self

    @model_validator(mode="after")
    def _has_limits(self) -> SliceLimits:
        if not self.bounds():
            raise ValueError("a slice without limits judges nothing; write min, max, max_drop or max_ratio")
        return self


class AccuracyGate(Metric, AccuracyLimits):
    """Bounds on a TFMA metric of the deployed file's predictions on the eval examples."""

    higher_is_better: bool | None = Field(
        default=None,
        description="Whether higher is better, for max_drop. Default: from the metric's name (error, loss, entropy: "
        "lower is better).",
    )
    slices: list[SliceLimits] = Field(default=[], description="Bounds per slice.")
    allow_weak_baseline: bool = Field(
        default=False,
        description="Whether to judge drops from a baseline that is hardly better than a constant prediction. If "
        "false, no candidate passes with such a baseline, because its accuracy cannot drop.",
    )

    def measured(self) -> Metric:
        """The metric without its limits."""
        slices = dict.fromkeys(tuple(limits.features()) for limits in self.slices)
        return Metric(
            metric=self.metric,
            anomaly=self.anomaly,
            against=self.against,
            output=self.output,
            config=self.config,
            slices=[Slicing(by=list(features)) for features in slices],
        )

    def held_back(self) -> HeldBackLimit:
        """The metric and its limits on training examples, without slices and intervals."""
        return HeldBackLimit(
            metric=self.metric,
            against=self.against,
            output=self.output,
            config=self.config,
            higher_is_better=self.higher_is_better,
            **self.bounds(),
        )

    def needs_resampling(self) -> bool:
        """Whether a limit holds an interval, and the metric has to be computed for each resample to have one."""
        confident = any(limits.confidence is not None for limits in (self, *self.slices))
        return confident and self.metric not in MEANS and self.of_tfma

    def direction_is_known(self) -> bool:
        """Whether it is set, or known from the metric's name."""
        return self.higher_is_better is not None or self._direction_by_name() is not None

    def _direction_by_name(self) -> bool | None:
        return metric_direction.higher_is_better(self.metric)

    def ascending(self) -> bool:
        """Whether a higher value of the metric is better; if that is not known, it is not."""
        return (
            self.higher_is_better if self.higher_is_better is not None else bool(self._direction_by_name())
        )


class LatencyGate(LatencyOptions, Limits):
    """Bounds on the time of one inference, candidate and baseline interleaved in one process.

    `min`, `max` and `max_drop` are in milliseconds. `max_ratio` is met only if the whole 95 %
    bootstrap interval of the ratio is within it.
    """


class SizeGate(SizeLimits):
    """Bounds on the bytes of the file, as it is or compressed. Sizes can be written as "60 kB" or "60 KiB"."""

    of: Literal["file", "gzip"] = Field(
        default="file",
        description="file: the file itself. gzip: the file gzip-compressed (level 9). To limit both, write the "
        "limits of the compressed file under gzip_size.",
    )


def _one_or_several(value: Any) -> str:
    return "arm:several" if isinstance(value, list) else "arm:one"


class Gate(Options):
    """The budget: a candidate is blessed when it meets every limit."""

    # One arm for each kind: a mistake in one would otherwise be reported for both.
    accuracy: Annotated[
        Annotated[AccuracyGate, Tag("arm:one")]
        | Annotated[list[AccuracyGate], Field(min_length=1), Tag("arm:several")],
        Discriminator(_one_or_several),
    ] = Field(description="A metric with its bounds, or a list of them.")
    latency: LatencyGate = LatencyGate.model_construct()
    size: SizeGate = SizeGate.model_construct()
    gzip_size: SizeLimits = Field(
        default=SizeLimits.model_construct(),
        description="Bounds on the bytes of the gzip-compressed file (level 9), in addition to those of size.",
    )
    # Left out of the canonical JSON if they are not written: no candidate is judged again because there are more keys.
    brotli_size: SizeLimits = Field(
        default=SizeLimits.model_construct(),
        exclude_if=without_bounds,
        description="Bounds on the bytes of the Brotli-compressed file (level 11), which is what most browsers "
        "download. Needs target: web.",
    )
    memory: SizeLimits = Field(
        default=SizeLimits.model_construct(),
        exclude_if=without_bounds,
        description="Bounds on the bytes of RAM that the target's runtime takes for the model, e.g. {max: 64 kB}: the "
        "tensor arena of TFLite Micro. Needs target: microcontroller, whose `ram` is the default of max.",
    )
    flash: SizeLimits = Field(
        default=SizeLimits.model_construct(),
        exclude_if=without_bounds,
        description="Bounds on the bytes of flash that the model takes, e.g. {max: 512 kB}. Needs target: "
        "microcontroller, whose `flash` is the default of max.",
    )
    same_prediction: ShareLimits = Field(
        default=ShareLimits.model_construct(),
        exclude_if=without_bounds,
        description="Bounds on the share of eval examples for which the target's runtime predicts the same as LiteRT, "
        "e.g. {min: 0.99}. Needs target: microcontroller or web.",
    )
    throughput: LoadLimits = Field(
        default=LoadLimits.model_construct(),
        exclude_if=without_bounds,
        description="Bounds on the requests a second that a model server answers, e.g. {min_ratio: 0.9}: 0.9 × as many "
        "as with the baseline. Each of REST and gRPC, batched and unbatched, has to meet them. Needs target: server.",
    )
    p99: LoadLimits = Field(
        default=LoadLimits.model_construct(),
        exclude_if=without_bounds,
        description="Bounds on the 99th percentile of the milliseconds that a request to a model server takes under "
        "load, e.g. {max_ratio: 1.2}. Each of REST and gRPC, batched and unbatched, has to meet them. Needs target: "
        "server.",
    )
    traffic: TrafficLimits = Field(
        default=TrafficLimits.model_construct(),
        exclude_if=without_bounds,
        description="Bounds on the bytes that server and clients send in all rounds, e.g. {max: 40 MB}. Needs "
        "model.train.federated.",
    )
    epsilon: FederatedLimits = Field(
        default=FederatedLimits.model_construct(),
        exclude_if=without_bounds,
        description="Bound on epsilon of the differential privacy of clients, e.g. {max: 8}. Needs "
        "model.train.federated.privacy with noise.",
    )
    worst_client: WorstClientLimits = Field(
        default=WorstClientLimits.model_construct(),
        exclude_if=without_bounds,
        description="Bounds on the baseline's metric on the eval examples of the client that is worst off, e.g. "
        "{min: 0.9}. Needs model.train.federated.",
    )

    @model_validator(mode="after")
    def _has_limits(self) -> Gate:
        figures = self.accuracies()
        slices = [limits for figure in figures for limits in figure.slices]
        sections: list[Limits | ShareLimits] = [*figures, self.latency, self.size, self.gzip_size, *slices]
        sections += [
            self.brotli_size,
            self.memory,
            self.flash,
            self.same_prediction,
            self.throughput,
            self.p99,
        ]
        federated = (self.traffic, self.epsilon, self.worst_client)
        if not any(limits.bounds() for limits in federated) and not any(
            section.bounds() for section in sections
        ):
            raise ValueError(
                "the gate has no limits, so anything would pass; write at least one of min, max, "
                "max_drop, max_ratio or min_ratio under accuracy, latency, size or gzip_size"
            )
        return self

    @model_validator(mode="after")
    def _sizes_differ(self) -> Gate:
        if self.size.of == "gzip" and self.size.bounds() and self.gzip_size.bounds():
            raise ValueError(
                "size with of: gzip and gzip_size both limit the compressed file; write its limits under gzip_size, "
                "and remove of: gzip from size"
            )
        return self

    @model_validator(mode="after")
    def _figures_differ(self) -> Gate:
        titles = [figure.title() for figure in self.accuracies()]
        twice = sorted({title for title in titles if titles.count(title) > 1})
        if twice:
            raise ValueError(f"accuracy: {twice[0]} is listed twice; write its limits in one place")
        return self

    def accuracies(self) -> list[AccuracyGate]:
        """The metrics, in their order."""
        return list(self.accuracy) if isinstance(self.accuracy, list) else [self.accuracy]

    def measured(self) -> MeasureOptions:
        """The measurements that the gate needs, whatever its limits are.

        Only an interval that takes long to compute is measured if a limit asks for it: `needs_resampling`.
        """
        return MeasureOptions(
            metrics=[figure.measured() for figure in self.accuracies()],
            latency=LatencyOptions(
                **{name: getattr(self.latency, name) for name in LatencyOptions.model_fields}
            ),
            resampled=[figure.title() for figure in self.accuracies() if figure.needs_resampling()],
        )

    def sizes(self) -> list[tuple[str, SizeOf, SizeLimits]]:
        """Each limited size: its config section, what is counted, and the limits."""
        found: list[tuple[str, SizeOf, SizeLimits]] = [
            ("gate.size", self.size.of, self.size),
            ("gate.gzip_size", "gzip", self.gzip_size),
            ("gate.brotli_size", "brotli", self.brotli_size),
        ]
        return [one for one in found if one[2].bounds()]

    def device(self) -> list[tuple[str, DeviceOf, SizeLimits]]:
        """Each limited figure of a device in bytes: its config section, its name, and the limits."""
        found: list[tuple[str, DeviceOf, SizeLimits]] = [
            ("gate.memory", "memory", self.memory),
            ("gate.flash", "flash", self.flash),
        ]
        return [one for one in found if one[2].bounds()]

    def load(self) -> list[tuple[str, LoadOf, LoadLimits]]:
        """Each limited figure of a model server: its config section, its name, and the limits."""
        found: list[tuple[str, LoadOf, LoadLimits]] = [
            ("gate.throughput", "throughput", self.throughput),
            ("gate.p99", "p99", self.p99),
        ]
        return [one for one in found if one[2].bounds()]

    def within(self, most: Mapping[DeviceOf, float]) -> Gate:
        """The same gate; figures of a device without a `max` get one.

        Args:
            most: Figure → bytes that the device has for it.
        """
        limits: dict[DeviceOf, SizeLimits] = {"memory": self.memory, "flash": self.flash}
        changed: dict[str, SizeLimits] = {
            of: limits[of].model_copy(update={"max": bytes_})
            for of, bytes_ in most.items()
            if limits[of].max is None
        }
        return self.model_copy(update=changed) if changed else self

    def sections(self) -> list[str]:
        """The config section of each metric: `gate.accuracy`, or `gate.accuracy.<index>` of a list."""
        if isinstance(self.accuracy, list):
            return [f"gate.accuracy.{index}" for index in range(len(self.accuracy))]
        return ["gate.accuracy"]


class JudgedGate(Gate):
    """The gate as a target completes it.

    Attributes:
        npu: An NPU with its limits; None if the target has none.
    """

    npu: NpuOptions | None = Field(default=None, exclude_if=operator.not_)

    @classmethod
    def of(cls, gate: Gate, npu: NpuOptions) -> JudgedGate:
        """A gate with the limits of an NPU."""
        return cls.model_construct(**dict(gate), npu=npu)
