"""The `model` section of a config. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from components.common.base.options import Options
from components.common.base.step_options import BATCH_SIZE, Baseline
from components.federated_trainer.params import BaselineOptions
from components.model_importer.params import ImportOptions, path_alone
from pipeline.config.pretrained_options import PretrainedOptions
from pipeline.config.refused import refused

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def _check_module(value: str) -> str:
    if value.endswith(".py") and _MODULE.fullmatch(value.removesuffix(".py").replace("/", ".")):
        dotted = value.removesuffix(".py").replace("/", ".")
        raise ValueError(f"{value!r} is a file; write it as Python imports it: {dotted}")
    if not _MODULE.fullmatch(value):
        raise ValueError(
            f"{value!r} is not a module name; write it as Python imports it, e.g. configs.mnist.model"
        )
    return value


class ModelSection(Options):
    """The model to optimize."""

    module: Annotated[str, AfterValidator(_check_module)] | None = Field(
        default=None,
        description="Python module with build_model(hparams) -> compiled tf_keras.Model; optionally also "
        "build_student(hparams) and preprocessing_fn(inputs). With import, the module is optional, and so is "
        "build_model in it.",
    )
    hparams: dict[str, Any] = Field(default={}, description="Passed to build_model and build_student.")
    train: BaselineOptions = Field(
        default=BaselineOptions.model_construct(), description="Training of the baseline."
    )
    imported: (
        Annotated[ImportOptions, BeforeValidator(path_alone, json_schema_input_type=str | ImportOptions)]
        | None
    ) = Field(
        default=None,
        alias="import",
        description="An existing model to optimize instead of training one: the path of a Keras file or SavedModel, "
        "or {path: …, inputs: {input_1: image}}, or {weights: …}.",
    )
    loss: str | dict[str, Any] | None = Field(
        default=None,
        description="Loss of training, in place of the one that the model or its file is compiled with: a name of "
        "tf_keras.losses or of the module, {name: CategoricalCrossentropy, from_logits: true}, or output → loss.",
    )
    optimizer: str | dict[str, Any] | None = Field(
        default=None,
        description="Optimizer of training, in place of the model's: a name of tf_keras.optimizers, or "
        "{name: SGD, learning_rate: 0.01, momentum: 0.9}.",
    )
    metrics: list[str | dict[str, Any]] | dict[str, list[str | dict[str, Any]]] | None = Field(
        default=None,
        description="Metrics that training reports, in place of the model's: names of tf_keras.metrics, or output → "
        "names.",
    )
    pretrained: PretrainedOptions | None = Field(
        default=None,
        description="A pretrained model to start from; build_model(hparams, pretrained) gets its layers.",
    )

    def compile_source(self) -> dict[str, Any]:
        """The part of `ModelDefinition.source` that says how to compile the model; empty if none is written."""
        written = {"loss": self.loss, "optimizer": self.optimizer, "metrics": self.metrics}
        return {"compile": written} if any(value is not None for value in written.values()) else {}

    def baseline(self) -> Baseline:
        """The baseline's settings that are defaults of steps that train."""
        imported = self.imported is not None
        return Baseline(
            self.train.distribution, BATCH_SIZE if imported else self.train.batch_size, imported
        )

    @model_validator(mode="after")
    def _has_one_origin(self) -> ModelSection:
        if self.imported is None:
            if self.module is None and (self.pretrained is None or self.pretrained.head is None):
                raise refused(
                    "is missing: a Python module with build_model(hparams) -> compiled tf_keras.Model; or write "
                    "import: with the path of an existing model",
                    "module",
                )
            key = self.train.needs_trunk()
            if key and self.pretrained is None:
                raise refused(
                    f"{key} is for the layers of a pretrained model; write pretrained: {{path: …}} beside train, "
                    f"or remove {key}",
                    "train",
                )
            return self
        if self.pretrained is not None:
            raise refused(
                "an imported model is used as it is, and a pretrained one is trained further; write import or "
                "pretrained",
                "pretrained",
            )
        if self.imported.weights is not None and self.module is None:
            raise refused(
                "weights need a model; write module: with a module whose build_model returns it", "import"
            )
        if self.module is None and self.hparams:
            raise refused(
                "hparams are for a module's build_model, and there is no module; remove them", "hparams"
            )
        if "train" in self.model_fields_set:
            raise refused(
                "the imported model is not trained; remove `train`, or begin a candidate with a fine_tune step",
                "train",
            )
        return self
