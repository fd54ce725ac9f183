"""Options of the baseline's training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from components.common.distribution_options import ALONE, Distributed
from components.common.step import Training


class TrainOptions(Training):
    """How the baseline is trained, with the optimizer, loss and metrics that build_model compiles."""

    epochs: int = Field(default=5, ge=1, description="Passes over the training examples.")
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        description="Learning rate of the optimizer; what build_model compiles with where it is not written.",
    )
    distribution: Distributed = Field(
        default=ALONE,
        description="none, mirrored, multi_worker, parameter_server or tpu, or {kind: mirrored, devices: 2}; "
        "also of every step that does not say otherwise.",
    )
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = Field(
        default="float32",
        description="What layers compute in: mixed_float16 for GPUs, mixed_bfloat16 for TPUs and newer GPUs; "
        "float32 where there is none. Weights, and the model that is written, are float32 in any case.",
    )
