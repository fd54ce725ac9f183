"""Options of the import of an existing model."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from components.common.base.options import Options

_SHA256 = re.compile(r"[0-9a-f]{64}")


def _check_digest(value: str) -> str:
    if not _SHA256.fullmatch(value):
        raise ValueError(
            f"{value!r} is not a SHA-256; write 64 digits of 0-9 and a-f, as sha256sum prints them"
        )
    return value


def _one_feature_each(value: dict[str, str]) -> dict[str, str]:
    features = list(value.values())
    twice = sorted({feature for feature in features if features.count(feature) > 1})
    if twice:
        raise ValueError(f"gives the feature {twice[0]!r} to two inputs; write a feature for each")
    return value


class ImportOptions(Options):
    """An existing model to use instead of training one."""

    path: str | None = Field(
        default=None,
        min_length=1,
        description="A Keras file of tf_keras (.keras, .h5) or the folder of a SavedModel. Relative paths are "
        "relative to the folder of the config.",
    )
    weights: str | None = Field(
        default=None,
        min_length=1,
        description="Instead of path: weights (.weights.h5, .h5, a checkpoint's prefix) for the model that "
        "build_model returns.",
    )
    sha256: Annotated[str, AfterValidator(_check_digest)] | None = Field(
        default=None,
        description="Required SHA-256 of the model. Default: any.",
    )
    signature: str | None = Field(
        default=None,
        min_length=1,
        description="Signature of a SavedModel to use, as operations without layers.",
    )
    inputs: Annotated[dict[str, str], AfterValidator(_one_feature_each)] = Field(
        default={}, description="Input of the model → the feature that feeds it, if names differ."
    )
    safe_mode: bool = Field(
        default=True,
        description="Refuses a model that would run code from its file, such as Lambda layers, or read or write other "
        "files.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> ImportOptions:
        if (self.path is None) == (self.weights is None):
            both = "are both written" if self.path else "are both missing"
            raise ValueError(
                f"path (a whole model) and weights (for build_model's) {both}; write one of them"
            )
        if self.weights is not None and self.signature is not None:
            raise ValueError("weights have no signature; leave `signature` out")
        return self

    def file(self) -> str:
        """The file, folder or prefix that is imported."""
        return self.path or self.weights or ""

    def key(self) -> str:
        """The key of the config that names it."""
        return "weights" if self.path is None else "path"


def path_alone(value: Any) -> Any:
    """`import: model.keras` means `import: {path: model.keras}`."""
    return {"path": value} if isinstance(value, str) else value
