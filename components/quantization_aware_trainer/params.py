"""Options of the `qat` step."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from components.common.base.step_options import TuningOptions


class QatOptions(TuningOptions):
    """Quantization-aware training for int8; keeps zeros and clusters of earlier steps (PQAT, CQAT, PCQAT).

    Jacob et al., "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference" (2018), https://arxiv.org/abs/1712.05877;
    https://www.tensorflow.org/model_optimization/guide/quantization/training.
    """

    technique: ClassVar[str] = "qat"
    wrappers: ClassVar[tuple[str, ...]] = ("quant_",)
    quantization_aware: ClassVar[bool] = True

    exclude: list[str] = Field(
        default=[], description="Patterns of names of layers to leave in float, also in the file."
    )
