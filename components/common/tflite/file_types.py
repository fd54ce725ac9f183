"""Whether a TFLite file has the types that its conversion was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.common.base.asked_types import AskedTypes
from components.common.base.layer_names import matches
from components.common.tflite.kernel import Kernel
from components.common.tflite.tflite_file import TFLiteFile

# Dynamic-range quantization leaves smaller kernels in float: they would hardly make the file smaller.
_WORTH_QUANTIZING = 1024
# And those of operators that LiteRT can only compute with float weights.
_NEVER_DYNAMIC = frozenset({"CONV_3D", "CONV_3D_TRANSPOSE"})
_INTEGER = {"int8": "int8", "int16x8": "int16"}
# Operators whose constant the converter takes for a value, which is int16 in an int16x8 file: an Embedding's table.
WIDE_TABLES = frozenset({"GATHER"})
_WEIGHTS = {"float32": "float32", "float16": "float16", "int8": "int8", "int16x8": "int8"}


@dataclass(frozen=True)
class TypeCheck:
    """One type, as it was asked for and as it is.

    Attributes:
        part: `weights`, `input`, `output`, `activations` or `operators`.
        name: Name of the layer, input or output; empty for the whole file.
        met: Whether it is as it was asked for.
        reason: Why not, if it is not.
    """

    part: str
    name: str
    met: bool
    reason: str = ""

    @property
    def figure(self) -> str:
        """Its name, for people: `weights[dense]`."""
        return f"{self.part}[{self.name}]" if self.name else self.part


def check(file: TFLiteFile, asked: AskedTypes, float_layers: Sequence[str]) -> list[TypeCheck]:
    """Holds the types of weights, activations, inputs and outputs against what was asked for.

    Args:
        file: As read.
        asked: Options of the conversion that made it.
        float_layers: Patterns of the layers that quantization-aware training left in float.

    Returns:
        A check for each kernel, input and output, one of the activations and one of the operators.
    """
    float_layers = [*float_layers, *asked.float_layers]
    float_ops = set(asked.float_ops)
    some_float = bool(float_layers or float_ops) or asked.may_fall_back
    checks = [_weights(kernel, asked.quantization, float_layers, float_ops) for kernel in file.kernels]
    if asked.may_fall_back:
        checks = [one for one in checks if one.met]
    checks += _ends(file, asked.io)
    if asked.quantization in _INTEGER and not some_float:
        checks.append(_activations(file))
    # In a file that is not quantized, QUANTIZE rounds to a grid that some FakeQuant operation had.
    fake = {"FAKE_QUANT"} if asked.quantization in _INTEGER else {"FAKE_QUANT", "QUANTIZE"}
    left = sorted(fake & set(file.operator_counts))
    checks.append(
        TypeCheck("operators", "", not left, f"the file computes fake quantization ({', '.join(left)})")
        if left
        else TypeCheck("operators", "", True)
    )
    return checks


def _weights(
    kernel: Kernel, quantization: str, float_layers: Sequence[str], float_ops: set[str]
) -> TypeCheck:
    layer = kernel.layer or kernel.tensor
    left = kernel.operator in float_ops or matches(kernel.layer, float_layers)
    # A ReLU, say, that is fused with the layer: it is in float with it or not at all.
    fused = any(matches(name, float_layers) for name in kernel.layers)
    wanted = "float32" if left else _WEIGHTS.get(quantization)
    if wanted is None:  # dynamic range
        worth = kernel.values.size >= _WORTH_QUANTIZING and kernel.operator not in _NEVER_DYNAMIC
        wanted = "int8" if worth else kernel.dtype
    if quantization == "int16x8" and kernel.operator in WIDE_TABLES and not left:
        wanted = "int16"
    if kernel.dtype == wanted or (fused and not left and kernel.dtype == "float32"):
        return TypeCheck("weights", layer, True)
    return TypeCheck("weights", layer, False, f"weights of layer {layer} are {kernel.dtype}, not {wanted}")


def _ends(file: TFLiteFile, io: str) -> list[TypeCheck]:
    checks = []
    quantized = {"int8", "int16", "uint8"}
    for kind, tensors in (("input", file.inputs), ("output", file.outputs)):
        for name, tensor in tensors.items():
            # A value that is an integer by nature, such as an index, has no scales and stays an integer.
            real = tensor.dtype == "float32" or (tensor.dtype in quantized and tensor.scales.size > 0)
            other = real and tensor.dtype != io
            checks.append(
                TypeCheck(
                    kind,
                    name,
                    not other,
                    f"{kind} {name} is {tensor.dtype}, not {io}" if other else "",
                )
            )
    return checks


def _activations(file: TFLiteFile) -> TypeCheck:
    ends = sum(tensor.dtype == "float32" for tensor in [*file.inputs.values(), *file.outputs.values()])
    extra = file.activation_dtypes.get("float32", 0) - ends
    return TypeCheck(
        "activations",
        "",
        extra <= 0,
        f"{extra} of the values between operators are float32, not integers" if extra > 0 else "",
    )
