"""The types that a conversion was asked for, which the gate holds the file to."""

from __future__ import annotations

from components.common.base.options import Options


class AskedTypes(Options):
    """The requested types of a TFLite file's tensors.

    Attributes:
        quantization: `float32`, `float16`, `dynamic`, `int8` or `int16x8`.
        io: Type of inputs and outputs.
        float_ops: Operators that stay in float in an int8 file.
        float_layers: Patterns of layers that stay in float in an int8 file.
        may_fall_back: Whether operators without an integer kernel may stay in float.
    """

    quantization: str
    io: str = "float32"
    float_ops: list[str] = []
    float_layers: list[str] = []
    may_fall_back: bool = False
