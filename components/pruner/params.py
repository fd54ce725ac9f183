"""Options of the `prune` step."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from components.common.step import StepOptions, TrainingOptions


class PruneOptions(TrainingOptions):
    """Magnitude pruning: the smallest weights of each layer become and stay zero.

    Zhu and Gupta, "To prune, or not to prune" (2017), https://arxiv.org/abs/1710.01878;
    https://www.tensorflow.org/model_optimization/guide/pruning.
    """

    technique: ClassVar[str] = "prune"
    component: ClassVar[str] = "components.pruner.component.Pruner"
    stage: ClassVar[int] = 1
    repeatable: ClassVar[bool] = True

    sparsity: float = Field(gt=0, lt=1, description="Share of each layer's weights that become zero.")
    schedule: Literal["polynomial", "constant"] = Field(
        default="polynomial",
        description="polynomial: sparsity grows to the target over the first three quarters of "
        "training; constant: the target holds from the first step on.",
    )
    initial_sparsity: float = Field(
        default=0.0, ge=0, lt=1, description="Where the polynomial schedule starts."
    )
    include: list[str] = Field(
        default=["*"], min_length=1, description="Patterns of names of layers to prune."
    )
    exclude: list[str] = Field(default=[], description="Patterns of names of layers to leave dense.")
    epochs: int = Field(default=2, ge=1, description="Passes over the training examples.")

    def check_after(self, before: StepOptions) -> None:
        """Refuses to prune the same layers less than before: weights would come back."""
        if not isinstance(before, PruneOptions):
            return
        same_layers = (self.include, self.exclude) == (before.include, before.exclude)
        if same_layers and self.sparsity < before.sparsity:
            raise ValueError(
                f"sparsity {self.sparsity:g} is below the {before.sparsity:g} of an earlier `prune`; write "
                "a higher one"
            )

    @model_validator(mode="after")
    def _initial_below_target(self) -> PruneOptions:
        if self.initial_sparsity >= self.sparsity:
            raise ValueError(
                f"initial_sparsity ({self.initial_sparsity:g}) must be below sparsity ({self.sparsity:g})"
            )
        return self
