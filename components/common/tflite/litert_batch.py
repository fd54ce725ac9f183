"""Batches of examples on a runtime, one example after another, as on a device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from components.common.tflite.file_model import FileModel
from components.common.tflite.litert import LiteRTError

Logits = Mapping[str, Mapping[str, str]]


def probabilities(logits: npt.NDArray[Any], activation: str) -> npt.NDArray[Any]:
    """The probabilities of logits.

    Args:
        logits: (…, classes).
        activation: softmax, over the last axis, or sigmoid.

    Returns:
        Of the same shape, in float32.

    Raises:
        ValueError: If the activation is another.
    """
    values = logits.astype(np.float64)
    if activation == "sigmoid":
        return special.expit(values).astype(np.float32)
    if activation == "softmax":
        return special.softmax(values, axis=-1).astype(np.float32)
    raise ValueError(f"{activation!r} is not softmax or sigmoid")


def predict_batch(
    model: FileModel,
    features: Mapping[str, Any],
    name: str = "the model",
    logits: Mapping[str, str] | None = None,
) -> Any:
    """Predicts a batch of examples, one by one.

    Args:
        model: The model.
        features: Feature → values, first axis the examples.
        name: Name of the model, for errors.
        logits: Output of logits → the activation that is applied to them.

    Returns:
        (examples, …) for a model with one output, else output → such an array.

    Raises:
        LiteRTError: If a feature is missing, or a prediction is NaN or infinite.
        TFLMError: If the model is on TFLite Micro and does not run.
        LiteRTJsError: The same for LiteRT.js.
    """
    for feature in model.inputs:
        if features.get(feature) is None:
            raise LiteRTError(f"{name} needs the feature {feature!r}; the examples have {sorted(features)}")
    outputs = model.predict_each({name: features[name] for name in model.inputs})
    for output, values in outputs.items():
        # Metrics such as accuracy take the class of a NaN for 0, and would call this a prediction.
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise LiteRTError(f"{name} predicts values of {output!r} that are not finite")
    for output, activation in (logits or {}).items():
        if output not in outputs:
            raise LiteRTError(f"{name} has no output {output!r}, whose logits its record names")
        outputs[output] = probabilities(outputs[output], activation)
    return next(iter(outputs.values())) if len(outputs) == 1 else outputs
