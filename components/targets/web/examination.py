"""Examines a file in the browser before anything is trained."""

from __future__ import annotations

import os
import re
import tempfile

import numpy as np

from components.common.base.npu_options import NpuOptions
from components.common.tflite import tflite_file
from components.common.tflite.litert_js.browser import LiteRTJsError
from components.common.tflite.litert_js.model import LiteRTJsModel, refuse_types
from components.common.tflite.tflite_file import SIGNATURE
from components.targets.target import Examined

# How LiteRT names the operator that it has no kernel for.
_OPERATOR = re.compile(
    r"Encountered unresolved custom op: (\w+)|Didn't find op for builtin opcode '(\w+)'|"
    r"Node number \d+ \((\w+)\) failed to prepare"
)


def examine(content: bytes, npu: NpuOptions | None = None) -> Examined:
    """Loads a file in the browser, and predicts once.

    Args:
        content: A TFLite file of the untrained model; operators and types depend on its layers alone.
        npu: None; browsers have none that a file could be compiled for.
    """
    file = tflite_file.parse(content)
    try:
        if SIGNATURE in file.signatures:
            refuse_types(file)
    except LiteRTJsError as error:
        instead = "feed float32 or int32 in the model's Input layers, and cast inside"
        return Examined(None, refusal=f"{error}; {instead}")
    flex = sorted(name for name in file.operator_counts if name.startswith("Flex"))
    if flex:
        return _refused(
            f"does not load on LiteRT.js: {', '.join(flex)} is not an operator of TFLite", flex[0]
        )
    open_inputs = [name for name, tensor in file.inputs.items() if -1 in tensor.shape]
    if open_inputs:
        return Examined(
            None,
            refusal=f"does not load on LiteRT.js: input {open_inputs[0]} has an axis without a fixed length; write its "
            "length in the model's Input layer",
        )
    with tempfile.TemporaryDirectory(prefix="paredown-") as folder:
        path = os.path.join(folder, "model.tflite")
        with open(path, "wb") as written:
            written.write(content)
        try:
            model = LiteRTJsModel(path)
            # Kernels are prepared by the first inference.
            model.predict_each(
                {
                    name: np.zeros((1, *(size or 1 for size in one.shape)))
                    for name, one in model.inputs.items()
                }
            )
        except LiteRTJsError as error:
            found = _OPERATOR.search(error.why)
            return _refused(str(error), next(filter(None, found.groups())) if found else "")
    return Examined(None)


def _refused(why: str, operator: str) -> Examined:
    instead = f"write layers that do not become {operator}" if operator else "write other layers"
    return Examined(None, operator, f"{why}; {instead}")
