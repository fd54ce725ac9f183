"""Options of the `distill` step."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from components.common.base.step_options import TrainingOptions


class DistillOptions(TrainingOptions):
    """Knowledge distillation: a smaller student learns from the baseline's outputs and inner layers.

    Outputs: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (2015),
    https://arxiv.org/abs/1503.02531. Inner layers: Romero et al., "FitNets: Hints for Thin Deep Nets"
    (2015), https://arxiv.org/abs/1412.6550. What is minimized:
    alpha × label loss + (1 − alpha) × teacher loss + feature_weight × feature loss.
    """

    technique: ClassVar[str] = "distill"

    student: str = Field(
        default="build_student", description="Function of the model module that builds the student."
    )
    temperature: float = Field(
        default=4.0,
        gt=0,
        description="Softens teacher and student outputs; 1 leaves them unchanged, as regression always does.",
    )
    alpha: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Weight of the label loss; the rest is the weight of the teacher's.",
    )
    task: Literal["auto", "multiclass", "multilabel", "regression"] = Field(
        default="auto",
        description="How outputs are compared. multiclass: a softmax; multilabel: sigmoids, including the single one "
        "of a binary classifier; regression: plain values, by mean squared error; auto: by the loss that build_model "
        "compiles with.",
    )
    features: dict[str, str] = Field(
        default={},
        description="Layer of the baseline → layer of the student that learns the same output, through a "
        "1×1 projection if the numbers of channels differ. Height and width must be equal.",
    )
    feature_weight: float = Field(
        default=1.0,
        ge=0,
        description="Weight of the feature loss, the share of the variance of the baseline's features that "
        "the student's leave unexplained: 1 for a constant, 0 for the same features.",
    )
    epochs: int = Field(default=4, ge=1, description="Passes over the training examples.")

    def functions(self) -> dict[str, str]:
        """The function that builds the student."""
        return {"student": self.student}

    @model_validator(mode="after")
    def _weighs_something(self) -> DistillOptions:
        default = type(self).model_fields["feature_weight"].default
        if not self.features and self.feature_weight != default:
            raise ValueError(
                f"feature_weight ({self.feature_weight:g}) has no effect without features; write features: "
                "{layer of the baseline: layer of the student}, or leave feature_weight out"
            )
        return self
