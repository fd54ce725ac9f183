"""The error of each layer of an int8 file, measured by TensorFlow's quantization debugger.

https://www.tensorflow.org/lite/performance/quantization_debugger
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.common.base.sensitivity import LayerError, Reason
from components.common.tflite import tflite_file
from components.common.tflite.kernel import Kernel
from components.common.tflite.operator import Operator
from components.tflite_converter.float_parts import Calibrated

_VERIFY = "NumericVerify"
# In steps: rounding of float32.
_NO_ERROR = 1e-3
# A reason is likely from here on. Of normally distributed weights, 1 to 2 % round to 0.
_WEIGHTS_LOST = 0.2
_CLIPPED = 0.01
_FEW_STEPS = 6.0
# The greatest value over the root mean square; that of a thousand normally distributed values is 3.2.
_OUTLIER = 8.0
_RANGE_OF_CHANNELS = 8.0

Floats = npt.NDArray[Any]


def measure(calibrated: Calibrated, content: bytes) -> list[LayerError]:
    """Runs examples through a file in which each quantized operator is beside its original in float.

    Args:
        calibrated: The model, with examples to run.
        content: The int8 file, whose scales explain errors.

    Returns:
        The layers with an error, the one with the greatest in steps first.
    """
    ran = calibrated.measure(layer_direct_compare_metrics=dict(_FIGURES))
    operators = ran.file.operators
    writers = {tensor.name: operator for operator in operators for tensor in operator.outputs}
    found: dict[str, list[_Operator]] = {}
    for verify in (one for one in operators if one.name == _VERIFY):
        quantized = verify.inputs[0]
        if quantized is None or verify.output not in ran.figures:
            continue
        writer = writers[quantized.name]
        figures = {name: float(v) for name, v in ran.figures[verify.output].items()}
        operator = _Operator(writer, figures)
        if operator.rmse_scale > _NO_ERROR:  # others move values, and compute none
            found.setdefault(writer.layer or writer.output, []).append(operator)
    file = tflite_file.parse(content)
    kernels = {kernel.layer: kernel for kernel in calibrated.file.kernels}
    stored = {kernel.layer: kernel for kernel in file.kernels}
    errors = [
        _error(layer, measured, kernels.get(layer), stored.get(layer)) for layer, measured in found.items()
    ]
    return sorted(errors, key=lambda one: -one.rmse_scale)


@dataclass(frozen=True)
class _Operator:
    """Means over examples of one operator's figures."""

    operator: Operator
    figures: dict[str, float]

    @property
    def rmse_scale(self) -> float:
        return float(np.sqrt(self.figures["noise"])) / self.figures["step"]


def _real(quantized: Floats, scale: float, zero_point: int) -> Floats:
    return (quantized.astype(np.float64) - zero_point) * scale


def _product(left: str, right: str) -> Callable[[Floats, Floats, float, int], float]:
    def mean(floats: Floats, quantized: Floats, scale: float, zero_point: int) -> float:
        real = _real(quantized, scale, zero_point)
        values = {"float": floats.astype(np.float64), "real": real, "error": real - floats}
        return float(np.mean(values[left] * values[right]))

    return mean


def _clipped(floats: Floats, quantized: Floats, scale: float, zero_point: int) -> float:
    """Share of values that are more than a step beyond the range."""
    ends = np.isin(quantized, (np.iinfo(quantized.dtype).min, np.iinfo(quantized.dtype).max))
    return float(np.mean(ends & (np.abs(_real(quantized, scale, zero_point) - floats) > scale)))


_FIGURES: dict[str, Callable[[Floats, Floats, float, int], float]] = {
    "noise": _product("error", "error"),
    "signal": _product("float", "float"),
    "stored": _product("real", "real"),
    "product": _product("float", "real"),
    "clipped": _clipped,
    "peak": lambda floats, quantized, scale, zero_point: float(np.abs(floats).max()),
    "step": lambda floats, quantized, scale, zero_point: float(scale),
}


def _error(
    layer: str, measured: list[_Operator], kernel: Kernel | None, stored: Kernel | None
) -> LayerError:
    worst = max(measured, key=lambda one: one.rmse_scale)
    figures = worst.figures
    noise, signal, both = figures["noise"], figures["signal"], figures["signal"] * figures["stored"]
    reason, amount = _reason(figures, kernel, stored)
    return LayerError(
        layer=layer,
        operators=[one.operator.name for one in measured],
        rmse_scale=worst.rmse_scale,
        snr=float(10 * np.log10(signal / noise)) if noise > 0 and signal > 0 else None,
        cosine=float(figures["product"] / np.sqrt(both)) if both > 0 else None,
        reason=reason,
        amount=amount,
    )


def _reason(
    figures: dict[str, float], kernel: Kernel | None, stored: Kernel | None
) -> tuple[Reason, float]:
    if kernel is not None and stored is not None and stored.scales.size:
        lost, spread = _lost_weights(kernel.values, stored)
        if lost > _WEIGHTS_LOST:
            one_scale = stored.scales.size == 1 and spread > _RANGE_OF_CHANNELS
            return ("weight_range" if one_scale else "weight_outliers"), lost
    if figures["clipped"] > _CLIPPED:
        return "saturation", figures["clipped"]
    steps = float(np.sqrt(figures["signal"])) / figures["step"]
    # Few steps alone may be the fault of a layer before, that has lost what it should hand on.
    outliers = 0 < steps < _FEW_STEPS and figures["peak"] > _OUTLIER * steps * figures["step"]
    return ("activation_outliers", steps) if outliers else ("", 0.0)


def _lost_weights(values: Floats, stored: Kernel) -> tuple[float, float]:
    """Share of nonzero weights that become 0, and how many times the median channel's greatest weight is the greatest.

    Args:
        values: Weights in float, in the layout of the stored ones.
        stored: The kernel in the int8 file.
    """
    scales = stored.scales
    if scales.size > 1:
        shape = [1] * values.ndim
        shape[stored.channel_axis] = scales.size
        scales = scales.reshape(shape)
    nonzero = values != 0
    if not nonzero.any():
        return 0.0, 1.0
    lost = float(np.mean((np.abs(values) < scales / 2)[nonzero]))
    axes = tuple(axis for axis in range(values.ndim) if axis != stored.output_axis)
    peaks = np.abs(values).max(axis=axes)
    median = float(np.median(peaks))
    return lost, float(peaks.max()) / median if median > 0 else float("inf")
