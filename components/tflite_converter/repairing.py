"""Which layers lose accuracy in an int8 file, and the repair: the most sensitive ones stay in float."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from components.common.base import progress
from components.common.base.interruption import Interrupted
from components.common.base.sensitivity import KeptLayer, LayerError, Repair, RepairedFigure, Sensitivity
from components.common.data.arrays import Arrays, Division
from components.common.models import model_files
from components.common.models.model_files import StepRecord
from components.common.steps.step_executor import StepJob
from components.common.tflite import tflite_file
from components.common.tflite.litert import LiteRTError
from components.common.tflite.tflite_file import SIGNATURE
from components.tflite_converter import (
    bias_scales,
    conversion_error,
    fixed_batch,
    layer_errors,
    tf_converter,
)
from components.tflite_converter.conversion_error import ConversionError
from components.tflite_converter.float_parts import Calibrated
from components.tflite_converter.held_back import HeldBack
from components.tflite_converter.params import ConvertOptions, RepairOptions, resolve_granularity

# Examples that errors of layers are measured on; they are means over all values of a layer.
_COMPARED = 50
# Layers whose accuracy in float is measured: those with the greatest errors.
_TRIED = 16


@dataclass(frozen=True)
class Examined:
    """Findings about an int8 file.

    Attributes:
        content: The file: the plain one, or the one with layers in float.
        sensitivity: What each layer costs.
        repair: What was done about it; None if that was not asked for.
    """

    content: bytes
    sensitivity: Sensitivity
    repair: Repair | None


def examine(
    job: StepJob[ConvertOptions], signature: Any, content: bytes, division: Division, clustered: bool
) -> Examined:
    """Measures what each layer of an int8 file costs, and repairs the file if that is asked for.

    Args:
        job: Of the conversion.
        signature: Signature of the SavedModel, which is loaded.
        content: The plain int8 file.
        division: The training examples.
        clustered: Whether kernels have to keep few distinct values.

    Raises:
        ConversionError: If a metric cannot be measured, or the model cannot be quantized with layers in float.
    """
    assert division.held_back is not None  # examines_layers
    baseline = tf.saved_model.load(model_files.serving_dir(job.baseline()))
    held = HeldBack(
        division.held_back,
        job.options.limits,
        baseline.signatures[SIGNATURE],
        StepRecord.read(job.base_model).logits,
        StepRecord.read(job.baseline()).logits,
    )
    saved_model = model_files.serving_dir(job.base_model)
    return examine_file(saved_model, job.options, signature, content, division.calibration, held, clustered)


def examine_file(
    saved_model: str,
    options: ConvertOptions,
    signature: Any,
    content: bytes,
    calibration: Arrays,
    held: HeldBack,
    clustered: bool = False,
) -> Examined:
    """As `examine`, of a SavedModel.

    Args:
        saved_model: Its folder.
        options: Options of the conversion.
        signature: Its signature.
        content: The plain int8 file.
        calibration: Examples to take ranges from.
        held: Measures accuracy.
        clustered: Whether kernels have to keep few distinct values.
    """
    try:
        with fixed_batch.of(saved_model) if options.fixed_batch else nullcontext(saved_model) as folder:
            converter = tf_converter.make(
                folder, options, resolve_granularity(options, clustered), calibration
            )
            some = calibration.take(range(min(_COMPARED, len(calibration))))
            return _Examination(Calibrated(converter, options, some), options, content, held).result(
                signature, len(some)
            )
    except (Interrupted, ConversionError):
        raise
    except LiteRTError as error:
        raise ConversionError(f"the int8 file {error}; remove repair and layer_errors") from error
    except Exception as error:  # the converter raises bare Exceptions and its own ConverterError
        raise ConversionError(
            f"the model cannot be quantized with layers in float: {conversion_error.reason(error)}; remove repair and "
            "layer_errors"
        ) from error


class _Examination:
    def __init__(self, calibrated: Calibrated, options: ConvertOptions, content: bytes, held: HeldBack):
        self._calibrated = calibrated
        self._options = options
        self._plain = content
        self._held = held
        self._before = held.values(content)
        missed = held.missed(self._before)
        # What the repair follows: the first metric that misses a limit.
        self._followed = missed[0] if missed else 0
        self._better: Callable[[float], float] = held.limits[self._followed].better()

    def result(self, signature: Any, compared: int) -> Examined:
        """Measures, then repairs."""
        held, repair = self._held, self._options.repair
        needed = repair is not None and bool(held.missed(self._before))
        errors = layer_errors.measure(self._calibrated, self._plain)
        if needed or self._options.layer_errors:
            errors = self._with_values(errors)
        followed = held.limits[self._followed]
        sensitivity = Sensitivity(
            metric=followed.title(),
            higher_is_better=followed.ascending(),
            in_float=held.in_float(signature)[self._followed],
            in_int8=self._before[self._followed],
            examples=len(held.examples),
            compared=compared,
            layers=errors,
        )
        if repair is None:
            return Examined(self._plain, sensitivity, None)
        content, kept = self._repaired(errors, repair) if needed else (self._plain, [])
        return Examined(content, sensitivity, self._recorded(repair, content, kept))

    def _with_values(self, errors: list[LayerError]) -> list[LayerError]:
        """The layers with the metric if each alone stays in float, the one that helps most first."""
        measured = []
        for number, error in enumerate(errors):
            progress.report(f"measuring layer {number + 1} of {min(len(errors), _TRIED)} in float")
            content = self._quantized([error.layer]) if number < _TRIED else None
            value = None if content is None else self._held.values(content)[self._followed]
            measured.append(error.model_copy(update={"value": value}))
        worst = float("-inf")
        return sorted(
            measured,
            key=lambda one: (-(worst if one.value is None else self._better(one.value)), -one.rmse_scale),
        )

    def _quantized(self, layers: list[str]) -> bytes | None:
        """The file with layers in float; None if the quantizer does not leave them in float, or leaves nothing else."""
        try:
            content = self._calibrated.quantize(layers)
        except ConversionError:
            return None
        return bias_scales.separate(content, tflite_file.parse(content))

    def _repaired(self, errors: list[LayerError], repair: RepairOptions) -> tuple[bytes, list[KeptLayer]]:
        """Leaves one layer after the other in float until all limits are met.

        Returns:
            The file with the fewest layers in float that misses the fewest limits, and everything that was tried.
        """
        held = self._held
        tried: list[KeptLayer] = []
        # Limits that are missed, then the metric: lower is better.
        best = (len(held.missed(self._before)), -self._better(self._before[self._followed]))
        found, count = self._plain, 0
        for error in (one for one in errors if one.value is not None):
            layers = [one.layer for one in tried] + [error.layer]
            content = self._quantized(layers)
            if content is None:
                continue
            values = held.values(content)
            tried.append(KeptLayer(layer=error.layer, value=values[self._followed]))
            reached = (len(held.missed(values)), -self._better(values[self._followed]))
            if reached < best:
                best, found, count = reached, content, len(tried)
            if reached[0] == 0 or len(tried) == repair.max_float:
                break
        return found, [one.model_copy(update={"kept": number < count}) for number, one in enumerate(tried)]

    def _recorded(self, repair: RepairOptions, content: bytes, kept: list[KeptLayer]) -> Repair:
        held = self._held
        after = self._before if content is self._plain else held.values(content)
        figures = [
            RepairedFigure(
                metric=limit.title(),
                baseline=baseline,
                before=before,
                after=value,
                limits=limit.bounds(),
                missed=limit.missed(value, baseline),
            )
            for limit, baseline, before, value in zip(
                held.limits, held.baseline, self._before, after, strict=True
            )
            if limit.bounds()
        ]
        return Repair(
            max_float=repair.max_float,
            examples=len(held.examples),
            metric=held.limits[self._followed].title(),
            met=not held.missed(after),
            figures=figures,
            layers=kept,
        )
