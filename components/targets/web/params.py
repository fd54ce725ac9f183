"""Options of `target: web`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from components.common.base.options import Options
from components.targets.target import TargetOptions


class WebOptions(TargetOptions):
    """Browsers, which run LiteRT.js."""

    kind: Literal["web"] = "web"


class TfjsOptions(Options):
    """A model for TensorFlow.js, of the candidate's layers in float32."""

    quantization: Literal["none", "float16", "uint16", "uint8"] = Field(
        default="none",
        description="Type in which weights are stored. TensorFlow.js computes in float32 with each of them.",
    )
