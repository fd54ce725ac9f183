"""Options of a measurement: metrics, slices, and how latency is timed. No limit is part of it. Imports no
TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from components.common.base.metric_facts import AGREEMENT, RECONSTRUCTION_AUC
from components.common.base.options import Options

# The level of all intervals.
CONFIDENCE = 0.95


class Slicing(Options):
    """One or more features of the eval examples, each value (or combination of values) of which is a slice."""

    by: str | list[str] = Field(
        min_length=1, description="The feature, or features, that divide the examples."
    )

    def features(self) -> list[str]:
        """The features that divide the examples."""
        return [self.by] if isinstance(self.by, str) else list(self.by)


class Metric(Options):
    """A TFMA metric of the deployed file's predictions on the eval examples."""

    metric: str = Field(
        description="Any metric of TFMA by class name, e.g. SparseCategoricalAccuracy, AUC, "
        "MeanSquaredError: https://www.tensorflow.org/tfx/model_analysis/metrics. Or agreement: the share of the "
        "baseline's own decisions (the class, or yes and no) that the file makes too, without labels. Or "
        "reconstruction_auc: how well the error of an autoencoder separates anomalies from normal examples."
    )
    anomaly: str | None = Field(
        default=None,
        min_length=1,
        description="For reconstruction_auc: the feature of the eval split that is above 0 in anomalies.",
    )
    against: Literal["label", "baseline"] | None = Field(
        default=None,
        description="What predictions are compared with: the label, or the baseline's own outputs (metrics of errors "
        "only). Default: label; baseline for agreement.",
    )
    output: str | None = Field(
        default=None,
        min_length=1,
        description="The output that the metric judges, as named in data.label, if the model has several.",
    )
    config: dict[str, Any] = Field(default={}, description="Arguments of the metric's constructor.")
    slices: Sequence[Slicing] = Field(default=[], description="What divides the examples into slices.")

    @model_validator(mode="after")
    def _agreement_is_with_the_baseline(self) -> Metric:
        if self.metric == AGREEMENT and self.against == "label":
            raise ValueError(
                "agreement always compares with the baseline; remove against, or write a metric of labels"
            )
        if self.metric == AGREEMENT and self.config:
            raise ValueError("config: agreement takes no arguments; remove config")
        return self

    @model_validator(mode="after")
    def _anomalies_are_said(self) -> Metric:
        if self.metric != RECONSTRUCTION_AUC:
            if self.anomaly is not None:
                raise ValueError(f"anomaly belongs to metric: {RECONSTRUCTION_AUC}; remove it")
            return self
        if self.anomaly is None:
            raise ValueError("does not say which examples are anomalies; write anomaly: and a feature")
        for name, written in (("against", self.against), ("config", self.config), ("output", self.output)):
            if written:
                raise ValueError(f"{name} cannot be combined with {RECONSTRUCTION_AUC}; remove it")
        return self

    @property
    def of_baseline(self) -> bool:
        """Whether predictions are compared with the baseline's, and not with labels."""
        return self.metric == AGREEMENT or self.against == "baseline"

    @property
    def of_tfma(self) -> bool:
        """Whether it is a metric of TFMA, which compares predictions with labels."""
        return not self.of_baseline and self.anomaly is None

    @model_validator(mode="after")
    def _name_is_ours(self) -> Metric:
        if "name" in self.config:
            raise ValueError("config: Paredown sets name; remove it")
        return self

    def features(self) -> list[str]:
        """Features that it needs beside the model's inputs and labels."""
        sliced = [name for by in self.slices for name in by.features()]
        return sliced if self.anomaly is None else [*sliced, self.anomaly]

    def name(self) -> str:
        """The metric with its arguments: `Precision(top_k=2)`."""
        arguments = ", ".join(f"{name}={json.dumps(value)}" for name, value in sorted(self.config.items()))
        name = f"{self.metric}({arguments})" if arguments else self.metric
        if self.anomaly is not None:
            return f"{name} by {self.anomaly}"
        against = self.against == "baseline" and self.metric != AGREEMENT
        return f"{name} against the baseline" if against else name

    def title(self) -> str:
        """The metric as people read it: `Precision(top_k=2) of tags`."""
        return f"{self.name()} of {self.output}" if self.output else self.name()


class LatencyOptions(Options):
    """How the time of one inference is measured."""

    percentile: Literal[50, 90, 99] = Field(default=50, description="Percentile of the measured times.")
    threads: int = Field(default=1, ge=1, description="Threads of the interpreter.")
    repetitions: int = Field(default=500, ge=20, description="Timed inferences of each file.")
    warmup: int = Field(default=50, ge=0, description="Inferences before the timed ones.")


class MeasureOptions(Options):
    """Everything that is measured of a candidate.

    The bytes of the file, as it is and compressed, always are.
    """

    metrics: list[Metric]
    latency: LatencyOptions
    # Titles of metrics that are not means over examples and are computed for each resample anyway.
    resampled: list[str] = []
