"""Options of the baseline's training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from components.common.base.distribution_options import ALONE, Distributed
from components.common.base.options import Options
from components.common.base.step_options import Training


class Stage(Options):
    """One stage of training: the layers that train from then on, its length, and its learning rates.

    The optimizer starts again in each stage; what an earlier stage unfroze stays so.
    """

    epochs: int | None = Field(default=None, ge=1, description="Passes over the training examples.")
    steps: int | None = Field(default=None, ge=1, description="Steps of the optimizer, instead of epochs.")
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        description="Learning rate of the optimizer. Default: the one that build_model compiles with.",
    )
    trunk_learning_rate: float | None = Field(
        default=None,
        gt=0,
        description="Learning rate of the layers of model.pretrained. Default: learning_rate.",
    )
    unfreeze: list[Annotated[str, Field(min_length=1)]] = Field(
        default=[], description="Name patterns of frozen layers that train from this stage on."
    )

    @model_validator(mode="after")
    def _one_length(self) -> Stage:
        if (self.epochs is None) == (self.steps is None):
            given = "epochs and steps both say how long it is" if self.epochs else "it has no length"
            raise ValueError(f"of a stage, {given}; write e.g. epochs: 2")
        return self


class TrainOptions(Training):
    """How the baseline is trained, with the optimizer, loss and metrics that build_model compiles."""

    epochs: int = Field(default=5, ge=1, description="Passes over the training examples.")
    batch_size: int = Field(
        default=128,
        ge=1,
        description="Examples per training step; also the default of every step.",
    )
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        description="Learning rate of the optimizer. Default: the one that build_model compiles with.",
    )
    distribution: Distributed = Field(
        default=ALONE,
        description="none, mirrored, multi_worker, parameter_server or tpu, or {kind: mirrored, devices: 2}; "
        "also the default of every step.",
    )
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = Field(
        default="float32",
        description="Precision in which layers compute: mixed_float16 for GPUs, mixed_bfloat16 for TPUs and newer "
        "GPUs; float32 without such a device. Weights and the saved model are always float32.",
    )
    trunk_learning_rate: float | None = Field(
        default=None,
        gt=0,
        description="Learning rate of the layers of model.pretrained. Default: learning_rate.",
    )
    stages: list[Stage] = Field(
        default=[],
        description="Successive stages of training, instead of epochs and learning rates, e.g. "
        "[{epochs: 2}, {epochs: 3, unfreeze: ['*'], learning_rate: 0.00001}].",
    )

    @model_validator(mode="after")
    def _stages_say_all(self) -> TrainOptions:
        said = {"epochs", "steps", "learning_rate", "trunk_learning_rate"} & self.model_fields_set
        if self.stages and said:
            raise ValueError(
                f"{' and '.join(sorted(said))} would apply to no stage, because each has its own; write them in "
                "stages"
            )
        return self

    def of_stage(self, stage: Stage) -> TrainOptions:
        """The options of one stage: its length and learning rates, and all else as in the whole training."""
        own = {name: getattr(stage, name) for name in ("steps", "learning_rate", "trunk_learning_rate")}
        return self.model_copy(update={**own, "epochs": stage.epochs or self.epochs, "stages": []})

    def needs_trunk(self) -> str | None:
        """The first key that has a meaning for the layers of model.pretrained alone; None if there is none."""
        if self.trunk_learning_rate is not None:
            return "trunk_learning_rate"
        named = ("unfreeze", "trunk_learning_rate")
        return next((key for stage in self.stages for key in named if getattr(stage, key)), None)
