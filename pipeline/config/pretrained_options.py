"""The `model.pretrained` section of a config: transfer learning. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from components.common.base.options import Options

RANDOM = "random"

Pattern = Annotated[str, Field(min_length=1)]


class Head(Options):
    """A classifier on the trunk, so that no build_model is needed."""

    classes: int = Field(
        ge=2, description="Number of classes, which is the number of outputs of the softmax."
    )
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the trunk's outputs that dropout removes."
    )


class PretrainedOptions(Options):
    """The pretrained model that the baseline starts from; its layers up to `cut_at` are the trunk."""

    path: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="A tf_keras model: a .keras or .h5 file, or the folder of a SavedModel."
    )
    application: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="Name of a model in tf_keras.applications, e.g. MobileNetV2."
    )
    weights: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="File with the application's weights, as save_weights writes it, or `random`. Nothing is "
        "downloaded.",
    )
    options: dict[str, Any] = Field(
        default={},
        description="Arguments of the application, e.g. {input_shape: [96, 96, 3], include_top: false}.",
    )
    cut_at: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="Layer whose output is the end of the trunk. Default: the layer that feeds the last Dense layer.",
    )
    freeze: list[Pattern] = Field(
        default=["*"],
        description="Name patterns of the trunk's layers that training does not change.",
    )
    freeze_batch_norm: bool = Field(
        default=True,
        description="Whether the trunk's BatchNormalization layers stay frozen even if their stage unfreezes them.",
    )
    head: Head | None = Field(
        default=None, description="A classifier to put on the trunk instead of build_model's."
    )

    @model_validator(mode="after")
    def _one_origin(self) -> PretrainedOptions:
        if (self.path is None) == (self.application is None):
            both = "both name the trunk" if self.path else "are both missing"
            raise ValueError(
                f"path and application {both}; write path: model.h5, or application: MobileNetV2 and weights: "
                "weights.h5"
            )
        if self.path is not None:
            extra = [name for name in ("weights", "options") if name in self.model_fields_set]
            if extra:
                raise ValueError(
                    f"{' and '.join(extra)} {'belong' if len(extra) > 1 else 'belongs'} to an application, and "
                    f"{self.path} holds a whole model; remove {'them' if len(extra) > 1 else 'it'}"
                )
        elif self.weights is None:
            raise ValueError(
                f"application {self.application} has no weights, and nothing is downloaded; write weights: "
                "path/to/weights.h5, or weights: random for an untrained trunk"
            )
        if "weights" in self.options:
            raise ValueError("weights in options would be downloaded; write weights beside application")
        return self

    def file(self) -> str | None:
        """The file or folder that the trunk's weights come from; None if they are random."""
        found = self.path or self.weights
        return None if self.path is None and found == RANDOM else found
