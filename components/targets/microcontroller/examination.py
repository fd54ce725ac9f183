"""Examines a file on TFLite Micro before anything is trained."""

from __future__ import annotations

from components.common.tflite.tflm import TFLMError, TFLMModel
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


def examine(content: bytes) -> Examined:
    """Loads a file and asks what memory it takes.

    Args:
        content: A TFLite file of the untrained model; memory depends on its shapes and types alone.
    """
    try:
        return Examined(TFLMModel(content).arena())
    except TFLMError as error:
        instead = "write other layers"
        if error.operator:
            instead = _INSTEAD.get(error.operator, f"write layers that do not become {error.operator}")
        return Examined(None, error.operator, f"{error}; {instead}")
