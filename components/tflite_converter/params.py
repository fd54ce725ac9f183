"""Options of the `convert` step."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from components.common.step import StepOptions

Quantization = Literal["float32", "dynamic", "float16", "int8", "int16x8"]
CALIBRATED: frozenset[str] = frozenset({"int8", "int16x8"})


class ConvertOptions(StepOptions):
    """Conversion to one TFLite file.

    https://www.tensorflow.org/lite/performance/post_training_quantization
    """

    technique: ClassVar[str] = "convert"
    component: ClassVar[str] = "components.tflite_converter.component.TFLiteConverter"
    stage: ClassVar[int] = 4
    keeps: ClassVar[str] = "it writes the TFLite file that is deployed, which no step can train further"

    quantization: Quantization = Field(
        description="float32: as trained; dynamic: int8 weights, activations quantized while running; "
        "float16: half-precision weights; int8: integer weights and activations; int16x8: int8 "
        "weights, int16 activations.",
    )
    io: Literal["float32", "int8", "int16"] = Field(
        default="float32",
        description="Type of the file's inputs and outputs: int8 only with int8, int16 only with int16x8.",
    )
    calibration_examples: int = Field(
        default=200,
        ge=1,
        description="Training examples, drawn with run.seed, that int8 and int16x8 take ranges from.",
    )

    @model_validator(mode="after")
    def _io_fits_quantization(self) -> ConvertOptions:
        wanted = {"int8": "int8", "int16": "int16x8"}.get(self.io)
        if wanted and self.quantization != wanted:
            raise ValueError(
                f"io: {self.io} needs quantization: {wanted} (this is {self.quantization}); "
                "write io: float32 or change the quantization"
            )
        return self

    def _slug_name(self) -> str:
        return f"{self.technique}-{self.quantization}"

    def _named_in_slug(self) -> set[str]:
        return {"quantization"}
