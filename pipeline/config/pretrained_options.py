"""The `model.pretrained` section of a config: transfer learning. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from components.common.base.options import Options

RANDOM = "random"

Pattern = Annotated[str, Field(min_length=1)]


class Head(Options):
    """The classifier on the trunk, where build_model does not make one."""

    classes: int = Field(ge=2, description="Number of classes: a softmax over so many outputs.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Share of the trunk's outputs to drop.")


class PretrainedOptions(Options):
    """The pretrained model that the baseline begins with; its layers up to `cut_at` are the trunk."""

    path: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="A tf_keras model: a .keras or .h5 file, or the folder of a SavedModel."
    )
    application: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="Name of a model in tf_keras.applications, e.g. MobileNetV2."
    )
    weights: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="File with the application's weights, as save_weights writes it; nothing is downloaded. "
        "`random` for none.",
    )
    options: dict[str, Any] = Field(
        default={},
        description="Arguments of the application, e.g. {input_shape: [96, 96, 3], include_top: false}.",
    )
    cut_at: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="Layer whose output is the trunk's end; what feeds the last Dense layer where it is "
        "not written.",
    )
    freeze: list[Pattern] = Field(
        default=["*"],
        description="Patterns of names of the trunk's layers that training leaves as they are.",
    )
    freeze_batch_norm: bool = Field(
        default=True,
        description="Whether the trunk's BatchNormalization stays as it is, whatever is unfrozen.",
    )
    head: Head | None = Field(
        default=None, description="A classifier to put on the trunk in place of build_model's."
    )

    @model_validator(mode="after")
    def _one_origin(self) -> PretrainedOptions:
        if (self.path is None) == (self.application is None):
            both = "both say where the trunk comes from" if self.path else "are both missing"
            raise ValueError(
                f"path and application {both}; write path: model.h5, or application: MobileNetV2 and weights: "
                "weights.h5"
            )
        if self.path is not None:
            extra = [name for name in ("weights", "options") if name in self.model_fields_set]
            if extra:
                raise ValueError(
                    f"{' and '.join(extra)} {'belong' if len(extra) > 1 else 'belongs'} to an application, and "
                    f"{self.path} holds a whole model; leave {'them' if len(extra) > 1 else 'it'} out"
                )
        elif self.weights is None:
            raise ValueError(
                f"application {self.application} has no weights, and nothing is downloaded; write weights: "
                "path/to/weights.h5, or weights: random for a trunk that has learnt nothing"
            )
        if "weights" in self.options:
            raise ValueError(
                "options has weights, which would be downloaded; write weights beside application"
            )
        return self

    def file(self) -> str | None:
        """The file or folder that the trunk's weights come from; None where they are random."""
        found = self.path or self.weights
        return None if self.path is None and found == RANDOM else found
