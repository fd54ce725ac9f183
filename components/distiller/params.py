"""Options of the `distill` step."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from components.common.step import TrainingOptions


class DistillOptions(TrainingOptions):
    """Knowledge distillation: a smaller student learns from the baseline's outputs.

    Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (2015),
    https://arxiv.org/abs/1503.02531.
    """

    technique: ClassVar[str] = "distill"
    component: ClassVar[str] = "components.distiller.component.Distiller"
    stage: ClassVar[int] = 0
    keeps: ClassVar[str] = ""

    student: str = Field(
        default="build_student", description="Function of the model module that builds the student."
    )
    temperature: float = Field(
        default=4.0,
        gt=0,
        description="Softens teacher and student outputs; 1 leaves them as they are.",
    )
    alpha: float = Field(
        default=0.1, ge=0, le=1, description="Weight of the label loss; the rest is the teacher's."
    )
    epochs: int = Field(default=4, ge=1, description="Passes over the training examples.")
