"""Options of the baseline's training."""

from __future__ import annotations

from pydantic import Field

from components.common.step import Options


class TrainOptions(Options):
    """How the baseline is trained, with the optimizer, loss and metrics that build_model compiles."""

    epochs: int = Field(default=5, ge=1, description="Passes over the training examples.")
    batch_size: int = Field(default=128, ge=1, description="Examples per training step.")
