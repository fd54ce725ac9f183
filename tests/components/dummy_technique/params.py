"""Options of the `mirror` step."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from components.common.base.step_options import TuningOptions


class MirrorOptions(TuningOptions):
    """Mirror-symmetric kernels: half of the weights of each convolution determine the others."""

    technique: ClassVar[str] = "mirror"

    include: list[str] = Field(default=["*"], min_length=1, description="Patterns of names of layers.")
