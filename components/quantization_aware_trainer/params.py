"""Options of the `qat` step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from components.common.base.calibration import Calibration
from components.common.base.step_options import ClientTuningOptions


class QatOptions(ClientTuningOptions):
    """Quantization-aware training for int8; keeps zeros and clusters of earlier steps (PQAT, CQAT, PCQAT).

    Jacob et al., "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference" (2018), https://arxiv.org/abs/1712.05877;
    https://www.tensorflow.org/model_optimization/guide/quantization/training.
    """

    technique: ClassVar[str] = "qat"
    wrappers: ClassVar[tuple[str, ...]] = ("quant_",)
    quantization_aware: ClassVar[bool] = True
    not_on_clients: ClassVar[Mapping[str, str]] = {
        **ClientTuningOptions.not_on_clients,
        "freeze_ranges_after": "the server sets the ranges before the first round, and they stay",
    }

    exclude: list[str] = Field(
        default=[], description="Name patterns of layers to leave in float, also in the file."
    )
    calibration: Calibration = Field(
        default=Calibration.model_construct(),
        description="How the ranges of activations are set before training, e.g. {method: mse, examples: 500}.",
    )
    freeze_ranges_after: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of the steps after which ranges of activations no longer follow the batches "
        "(Krishnamoorthi, 2018); 0 keeps the calibrated ones, 1 never freezes them.",
    )
    batch_norm: Literal["frozen", "moving", "re-estimated"] = Field(
        default="frozen",
        description="Statistics of BatchNormalization. frozen: those of the model, also while training; moving: of "
        "each batch, and their moving average in the file; re-estimated: of each batch, and their mean over the "
        "training examples in the file.",
    )
    dropout: bool = Field(
        default=False,
        description="Whether Dropout is active during training. In a few steps it changes the model more "
        "than int8 does.",
    )
    learning_rate: float | None = Field(
        default=1e-4,
        gt=0,
        description="Learning rate of the optimizer; null: the one that the model is compiled with, which in a few "
        "steps changes a trained model more than int8 does.",
    )
