"""The `model` section of a config. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from components.common.step import Options
from components.trainer.params import TrainOptions

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def _check_module(value: str) -> str:
    if value.endswith(".py") and _MODULE.fullmatch(value.removesuffix(".py").replace("/", ".")):
        dotted = value.removesuffix(".py").replace("/", ".")
        raise ValueError(f"{value!r} is a file; write it as Python imports it: {dotted}")
    if not _MODULE.fullmatch(value):
        raise ValueError(
            f"{value!r} is no module name: write it as Python imports it, e.g. configs.mnist.model"
        )
    return value


class ModelSection(Options):
    """The model to optimize."""

    module: Annotated[str, AfterValidator(_check_module)] = Field(
        description="Python module with build_model(hparams) -> compiled tf_keras.Model; where "
        "wanted, build_student(hparams) and preprocessing_fn(inputs)."
    )
    hparams: dict[str, Any] = Field(default={}, description="Passed to build_model and build_student.")
    train: TrainOptions = Field(default=TrainOptions(), description="Training of the baseline.")
