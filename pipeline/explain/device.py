"""Examines a candidate's untrained model on the target's runtime."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from components.common.base.npu_options import NpuOptions
from components.common.data.arrays import Arrays
from components.common.data.model_inputs import InputSpec
from components.common.models import model_files
from components.common.models.invariants import one_scale
from components.common.models.model_files import StepRecord
from components.common.steps.explanation import Explanation, Outlook, Refusal
from components.common.tflite import packing
from components.common.tflite.packing import PackingError
from components.common.tflite.tflm import TFLMError
from components.targets.target import Examined, Target
from components.tflite_converter.conversion_error import ConversionError
from components.tflite_converter.executor import convert, signature_inputs
from components.tflite_converter.params import ConvertOptions

# Examples of noise, which the ranges of integers are taken from. Neither memory nor operators depend on them.
_EXAMPLES = 4


def examine(
    outlook: Outlook, options: ConvertOptions, target: Target, npu: NpuOptions | None = None
) -> Examined | None:
    """Converts a model as a candidate will be, and loads it on the target's runtime.

    Args:
        outlook: Before the conversion.
        options: Options of the conversion.
        target: What the file is for.
        npu: The target's NPU, if it has one and the file is for it.

    Returns:
        None if the target has nothing to look at, or the untrained model cannot be converted, which the step itself
        says.
    """
    if not target.examination:
        return None
    clustered = any(map(one_scale, outlook.record.layers.values()))
    try:
        with tempfile.TemporaryDirectory(prefix="paredown-") as folder:
            model_files.save_serving(outlook.model, folder, list(outlook.model.input_names))
            noise = _noise(signature_inputs(folder))
            # The outlook of a quantization-aware model is in float: its trained ranges would not be there yet.
            content = convert(folder, options, False, noise, clustered)
    except ConversionError:
        return None
    packed = None
    if options.pack is not None:
        try:
            packed = packing.pack(
                packing.few_values(content, _distinct_values(outlook.record)),
                options.pack,
                options.pack_memory,
            )
        except (PackingError, TFLMError) as error:
            return Examined(None, refusal=str(error))
    found = _examined(outlook, packed.content if packed and packed.content else content, target, npu)
    if packed is None or found.refusal:
        return found
    texts = tuple(kernel.text for kernel in packed.kernels)
    return replace(found, flash=len(packed.content) if packed.content else None, packed=texts)


def _examined(outlook: Outlook, content: bytes, target: Target, npu: NpuOptions | None) -> Examined:
    module, _, function = target.examination.rpartition(".")
    examination: Callable[[bytes, NpuOptions | None], Examined] = getattr(
        importlib.import_module(module), function
    )
    found = examination(content, npu)
    if not found.operator:
        return found
    layers = _layers(outlook, found.operator)
    return replace(found, refusal=f"{layers}: {found.refusal}") if layers else found


def _distinct_values(record: StepRecord) -> dict[str, int]:
    """Layer → how many distinct values its kernel will have at most, if steps before ask for that."""
    asked = {
        layer: [most for one in invariants if (most := one.distinct_values()) is not None]
        for layer, invariants in record.layers.items()
    }
    return {layer: min(most) for layer, most in asked.items() if most}


def float_layers(
    explanation: Explanation, options: ConvertOptions, target: Target, npu: NpuOptions | None
) -> Explanation:
    """A conversion's explanation with what layers cost on the target that a repair leaves in float, or the refusal."""
    if options.repair is None or not (npu or target.float_layers):
        return explanation
    if npu is None:
        return replace(explanation, notes=[*explanation.notes, target.float_layers])
    if npu.cpu_operators == "refuse":
        why = (
            f"repair leaves layers in float, which {npu.accelerator} does not run; remove repair, or write "
            "cpu_operators: allow under npu"
        )
        return replace(explanation, refusals=[Refusal("", why, "repair")])
    note = f"layers that repair leaves in float run on the CPU, not on {npu.accelerator}"
    return replace(explanation, notes=[*explanation.notes, note])


def refusal(found: Examined) -> Refusal:
    """The refusal of a conversion whose file the target cannot run."""
    return Refusal("", found.refusal)


def _noise(inputs: dict[str, InputSpec]) -> Arrays:
    random = np.random.default_rng(0)

    def values(spec: InputSpec) -> npt.NDArray[Any]:
        shape = (_EXAMPLES, *(1 if size is None else size for size in spec.shape))
        if np.issubdtype(np.dtype(spec.dtype), np.floating):
            return random.uniform(0, 1, shape).astype(spec.dtype)
        return np.zeros(shape, spec.dtype)  # an index of an embedding may not be any number

    return Arrays({name: values(spec) for name, spec in inputs.items()}, np.empty(0))


def _layers(outlook: Outlook, operator: str) -> str:
    """The layers that become an operator, as far as the float file knows."""
    try:
        operators = outlook.workshop.float_file(outlook.model).operators
    except ConversionError:
        return ""
    return ", ".join(sorted(set().union(*(one.layers for one in operators if one.name == operator))))
