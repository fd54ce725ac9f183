"""Options of the `cluster` step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from components.common.base.step_options import ClientTuningOptions


class ClusterOptions(ClientTuningOptions):
    """Weight clustering: the weights of each layer share a few values, so that they compress well.

    Han, Mao and Dally, "Deep Compression" (2016), https://arxiv.org/abs/1510.00149;
    https://www.tensorflow.org/model_optimization/guide/clustering. After `prune` the zeros stay zero.
    """

    technique: ClassVar[str] = "cluster"
    not_on_clients: ClassVar[Mapping[str, str]] = {
        **ClientTuningOptions.not_on_clients,
        "initialization": "the server finds the shared values by k-means before the first round",
    }

    clusters: int = Field(
        default=16,
        ge=3,
        le=256,
        description="Number of distinct values of each layer's weights, including 0.",
    )
    initialization: Literal["kmeans++", "linear", "density", "random"] = Field(
        default="kmeans++", description="How the initial centroids are chosen."
    )
    per_channel: bool = Field(
        default=False,
        description="Whether each output channel of a Conv2D has its own values: more accurate, and "
        "larger once compressed.",
    )
    include: list[str] = Field(
        default=["*"], min_length=1, description="Name patterns of layers to cluster."
    )
    exclude: list[str] = Field(default=[], description="Name patterns of layers to leave unchanged.")

    def why_one_scale(self) -> str:
        """One value would become as many as there are channels."""
        if self.per_channel:
            return ""
        return (
            "the few values of `cluster` would become as many in each channel; leave it out, or cluster with "
            "per_channel: true"
        )
