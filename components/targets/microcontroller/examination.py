"""Examines a file on TFLite Micro before anything is trained."""

from __future__ import annotations

from dataclasses import replace

from components.common.base.npu_options import NpuOptions
from components.common.tflite import vela
from components.common.tflite.tflm import TFLMError, TFLMModel
from components.common.tflite.vela import VelaError
from components.targets.target import Examined

_OPEN_BATCH = (
    "it computes a shape with an open batch, for LayerNormalization, Dense on several axes, or a recurrent layer; "
    "write fixed_batch: true under convert"
)
# Operators that TFLite Micro lacks or refuses → what to write instead in the model.
_INSTEAD = {
    "GELU": "write activation relu, relu6 or hard_swish",
    "TOPK_V2": "return the probabilities, and sort them in your program",
    "CONV_3D": "write Conv2D, with one axis among the channels",
    "CONV_3D_TRANSPOSE": "write Conv2DTranspose, with one axis among the channels",
    "REDUCE_PROD": _OPEN_BATCH,
    "FILL": _OPEN_BATCH,
    "WHILE": "write unroll=True in the recurrent layer",
    "UNIDIRECTIONAL_SEQUENCE_RNN": "write LSTM, or Conv1D layers",
    "ATAN2": "compute it in your program, before or after the model",
    "SEGMENT_SUM": "write layers of fixed shapes",
    "RFFT2D": "compute the spectrum in your program, and feed it to the model",
}


# Fixes for operators that an NPU leaves on the CPU.
_FOR_NPU = {
    "QUANTIZE": "write io: int8 under convert",
    "DEQUANTIZE": "write io: int8 under convert",
}


def examine(content: bytes, npu: NpuOptions | None = None) -> Examined:
    """Loads a file, asks what memory it takes, and compiles it if there is an NPU.

    Args:
        content: A TFLite file of the untrained model; memory and operators depend on its shapes and types alone.
        npu: The target's NPU.
    """
    try:
        found = Examined(TFLMModel(content).arena())
    except TFLMError as error:
        instead = "write other layers"
        if error.operator:
            instead = _INSTEAD.get(error.operator, f"write layers that do not become {error.operator}")
        return Examined(None, error.operator, f"{error}; {instead}")
    return found if npu is None else _on_npu(content, npu, found)


def _on_npu(content: bytes, npu: NpuOptions, found: Examined) -> Examined:
    """Adds the operators that Vela would leave on the CPU, as a note or a refusal."""
    try:
        figures = vela.compile_file(content, npu.compiled_for()).figures
    except VelaError as error:
        return replace(found, refusal=f"{error}; write other layers, or remove npu from the target")
    if not figures.on_cpu:
        return found
    other = next((name for name in figures.cpu_operators if name not in _FOR_NPU), "")
    instead = "; ".join(
        dict.fromkeys(
            _FOR_NPU.get(name, "write layers that the NPU runs") for name in figures.cpu_operators
        )
    )
    text = f"Vela leaves {figures.cpu_text} on the CPU of {npu.accelerator}; {instead}"
    if npu.cpu_operators == "refuse":
        return replace(found, operator=other, refusal=text)
    limit = (
        "; max_cycles cannot be met, because Vela does not estimate their cycles" if npu.max_cycles else ""
    )
    return replace(found, notes=(f"{text}{limit}",))
