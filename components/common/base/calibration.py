"""How the ranges of activations are set for int8. Imports neither TensorFlow nor NumPy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from components.common.base.options import Options

Method = Literal["minmax", "percentile", "mse"]


class Calibration(Options):
    """How the ranges of activations are set before training, and what they may clip after it."""

    method: Method = Field(
        default="minmax",
        description="minmax: from the least to the greatest value; percentile: without the most extreme values; "
        "mse: the range with the smallest squared error of rounding and clipping together.",
    )
    examples: int = Field(
        default=200,
        ge=1,
        description="Number of training examples to set ranges from; `convert` uses the same ones for the same "
        "number.",
    )
    percentile: float = Field(
        default=99.99,
        gt=50,
        le=100,
        description="For method: percentile: percentage of the values within the range, at each end.",
    )
    max_clipped: float = Field(
        default=0.25,
        gt=0,
        le=1,
        description="Largest share of a tensor's values on eval examples that its range may clip after training; the "
        "step fails if a range clips more. More than 3 % is reported.",
    )
