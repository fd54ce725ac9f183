"""Options of `target: server`, and of `push.serving`. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from components.common.base.load_options import LoadOptions
from components.common.base.options import Options
from components.targets.target import TargetOptions

# Names that Kubernetes accepts, with room for a suffix.
ModelName = Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=50)]
Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][-_.A-Za-z0-9]*$", max_length=63)]


class ServerOptions(LoadOptions, TargetOptions):
    """Model servers, which run LiteRT or a SavedModel on their processors.

    The gate serves candidate and baseline by `paredown serve`, and asks both in turns.
    """

    kind: Literal["server"] = "server"

    @property
    def load_options(self) -> LoadOptions:
        """How candidates are asked."""
        return LoadOptions(**{name: getattr(self, name) for name in LoadOptions.model_fields})


class Batching(Options):
    """How TensorFlow Serving makes batches of requests (its BatchingParameters)."""

    max_batch_size: int = Field(default=32, ge=1, description="Examples of a batch at most.")
    batch_timeout_micros: int = Field(
        default=1000, ge=0, description="Microseconds that a batch waits to become full."
    )
    max_enqueued_batches: int = Field(
        default=100, ge=1, description="Number of batches that may wait; further requests are refused."
    )
    num_batch_threads: int | None = Field(
        default=None, ge=1, description="Number of batches at once. Default: the server's number of cores."
    )


class ServingOptions(Options):
    """Files for TensorFlow Serving, Docker Compose, Kubernetes and KServe, beside the pushed model."""

    name: ModelName | None = Field(
        default=None, description="Name of the model for clients. Default: name of push.directory."
    )
    batching: Batching | None = Field(
        default=Batching(), description="How requests are batched; null: they are not."
    )
    monitoring: bool = Field(
        default=True, description="Metrics for Prometheus at /monitoring/prometheus/metrics."
    )
    warmup: int = Field(
        default=32,
        ge=0,
        le=1000,
        description="Eval examples that the server predicts before a version takes over. They are published with the "
        "model. None are written if the data go through Transform.",
    )
    labels: dict[Label, Annotated[int, Field(ge=0)]] = Field(
        default={},
        description="Names of versions for clients, e.g. {stable: 1764500000, canary: 1764600000}. These versions are "
        "served, and no others. Without labels, the newest version is served.",
    )
    replicas: list[Annotated[int, Field(ge=1)]] = Field(
        default=[2, 10],
        min_length=2,
        max_length=2,
        description="Minimum and maximum number of servers on Kubernetes.",
    )
    image: str = Field(
        default="tensorflow/serving:2.16.1", min_length=1, description="Image of TensorFlow Serving."
    )

    @model_validator(mode="after")
    def _replicas_ascend(self) -> ServingOptions:
        if self.replicas[0] > self.replicas[1]:
            raise ValueError(
                f"replicas: {self.replicas} has a minimum above its maximum; write [{self.replicas[1]}, "
                f"{self.replicas[0]}]"
            )
        return self
