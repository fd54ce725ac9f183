"""Options of the baseline's training."""

from __future__ import annotations

from pydantic import Field

from components.common.step import Training


class TrainOptions(Training):
    """How the baseline is trained, with the optimizer, loss and metrics that build_model compiles."""

    epochs: int = Field(default=5, ge=1, description="Passes over the training examples.")
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        description="Learning rate of the optimizer; what build_model compiles with where it is not written.",
    )
