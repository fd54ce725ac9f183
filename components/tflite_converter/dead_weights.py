"""Weights that are not numbers: a training that diverged leaves them, and no file of them predicts."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.common.base.texts import listed
from components.tflite_converter.conversion_error import ConversionError


def refuse(signature: Any) -> None:
    """Raises a ConversionError that names the layers of a SavedModel with weights that are NaN or infinite.

    Args:
        signature: Signature of the SavedModel, which is loaded.
    """
    dead = []
    for variable in signature.variables:
        values = variable.numpy()
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            count = int(np.count_nonzero(~np.isfinite(values)))
            dead.append(f"{count:,} of {values.size:,} in {variable.name.partition(':')[0]}")
    if dead:
        raise ConversionError(
            f"the model has weights that are NaN or infinite: {listed(dead)}; the training before it diverged: lower "
            "its learning_rate, or clip gradients in the optimizer (clipnorm)"
        )
