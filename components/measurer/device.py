"""Memory and flash of candidate and baseline on the runtime of their target, and its agreement with LiteRT."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from components.common.base.npu_options import Npu
from components.common.base.runtime import NAMES, TFLITE_MICRO
from components.common.data.decisions import excludes
from components.common.tflite import tflm, vela
from components.common.tflite.npu_figures import NpuFigures
from components.common.tflite.tflm import TFLMModel
from components.measurer.measured import Device, Side
from components.predictor.predictions import Predictions, Values

# In a regression, values that differ by less than this share of all values' range are the same.
_NEAR = 0.01


def measure(paths: Mapping[Side, str]) -> Device:
    """Loads both files on TFLite Micro and asks what memory they take.

    Args:
        paths: Side → TFLite file that is deployed.

    Raises:
        TFLMError: If one does not load.
    """
    return Device(
        f"{NAMES[TFLITE_MICRO]} {tflm.version()}",
        {side: TFLMModel.read(path).arena() for side, path in paths.items()},
        {side: os.path.getsize(path) for side, path in paths.items()},
    )


def compiled(path: str, npu: Npu) -> NpuFigures:
    """Vela's estimates of a file on an NPU.

    Raises:
        VelaError: If Vela does not compile it, or is not installed.
    """
    with open(path, "rb") as file:
        return vela.compile_file(file.read(), npu).figures


def share_of_same(device: Predictions, litert: Predictions, model: str, baseline: Values) -> float:
    """The share of examples of which two runtimes predict the same by one file.

    Classes are the same if the most probable one is; a sigmoid if both are on the same side of 0.5; other numbers if
    they are apart by at most 1 % of the range that LiteRT's have. An example with several predictions counts if all
    are.

    Args:
        device: Predictions on the device's runtime.
        litert: Those on LiteRT, of the same examples in the same order.
        model: Name of the file's predictions in both.
        baseline: What the baseline predicts in float: it shows what kind of numbers they are, as integers do not add up
            to 1.
    """
    mine, theirs = _flat(device.outputs[model]), _flat(litert.outputs[model])
    kinds = _flat(baseline)
    same = np.ones(len(device), bool)
    for output, values in theirs.items():
        same &= _same(values, mine[output], kinds[output])
    return float(same.mean())


def _flat(values: Values) -> dict[str, npt.NDArray[Any]]:
    return dict(values) if isinstance(values, dict) else {"": values}


def _same(
    litert: npt.NDArray[Any], device: npt.NDArray[Any], baseline: npt.NDArray[Any]
) -> npt.NDArray[np.bool_]:
    count = len(litert)
    if excludes(baseline):
        found = litert.argmax(axis=-1) == device.argmax(axis=-1)
    elif baseline.min() >= 0 and baseline.max() <= 1:
        found = (litert >= 0.5) == (device >= 0.5)
    else:
        found = np.abs(litert - device) <= _NEAR * (litert.max() - litert.min())
    return found.reshape(count, -1).all(axis=1)
