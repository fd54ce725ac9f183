"""A TFLite file in a browser.

https://ai.google.dev/edge/litert/web
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from components.common.data.model_inputs import InputSpec, shaped
from components.common.tflite import tflite_file
from components.common.tflite.file_model import FileModel
from components.common.tflite.litert import dequantize, quantize
from components.common.tflite.litert_js import browser
from components.common.tflite.litert_js.browser import LiteRTJsError
from components.common.tflite.operator import Tensor
from components.common.tflite.tflite_file import SIGNATURE, TFLiteFile, TFLiteFileError

# Types that LiteRT.js makes arrays of JavaScript of.
TYPES = ("float32", "int32", "uint8")
_numbers = itertools.count()


class LiteRTJsModel(FileModel):
    """A file that is loaded in the browser of this process, like `LiteRTModel`."""

    def __init__(self, path: str):
        """Loads a file.

        Raises:
            LiteRTJsError: If it cannot be loaded, or the runtime is not installed.
        """
        try:
            file = tflite_file.read(path)
        except TFLiteFileError as error:
            raise LiteRTJsError(error.reason) from error
        if SIGNATURE not in file.signatures:
            raise LiteRTJsError(f"it has no signature {SIGNATURE!r}")
        refuse_types(file)
        self.id = f"{next(_numbers)}"
        self._tensors = {**file.inputs, **file.outputs}
        self._browser = browser.shared()
        found = self._browser.call("load", model=self.id, path=os.path.abspath(path))
        self._shapes = {port["name"]: tuple(port["shape"]) for port in found["inputs"]}
        self._made = {port["name"]: tuple(port["shape"]) for port in found["outputs"]}
        self.inputs = {
            name: InputSpec(
                shape[1:],
                np.float32 if file.inputs[name].scales.size else np.dtype(file.inputs[name].dtype).type,
            )
            for name, shape in self._shapes.items()
        }

    def predict_each(self, features: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """See `FileModel.predict_each`.

        Raises:
            LiteRTJsError: If an input has no feature, or the browser fails.
            ExamplesError: If a feature has another number of elements.
        """
        with tempfile.TemporaryDirectory(prefix="paredown-") as folder:
            given = self.write(features, folder)
            count = len(next(iter(features.values())))
            outputs = {name: os.path.join(folder, f"out-{index}") for index, name in enumerate(self._made)}
            self._browser.call("run", model=self.id, inputs=given, count=count, outputs=outputs)
            return {
                name: dequantize(
                    np.fromfile(path, self._tensors[name].dtype).reshape(count, *self._made[name][1:]),
                    *_scale(self._tensors[name]),
                )
                for name, path in outputs.items()
            }

    def write(self, features: Mapping[str, npt.NDArray[Any]], folder: str) -> dict[str, str]:
        """Writes examples as the page reads them.

        Args:
            features: Input → (examples, …) values.
            folder: An existing folder.

        Returns:
            Input → its file.

        Raises:
            LiteRTJsError: If an input has no feature.
        """
        written = {}
        for index, (name, spec) in enumerate(self.inputs.items()):
            if features.get(name) is None:
                raise LiteRTJsError(
                    f"it needs the feature {name!r}, which an example does not have", verb="run"
                )
            values = np.asarray(shaped(np.asarray(features[name]), spec, name))
            tensor = self._tensors[name]
            written[name] = os.path.join(folder, f"{self.id}-in-{index}")
            np.ascontiguousarray(quantize(values, *_scale(tensor), np.dtype(tensor.dtype))).tofile(
                written[name]
            )
        return written


def refuse_types(file: TFLiteFile) -> None:
    """Raises a LiteRTJsError that names the input or output whose type LiteRT.js does not have."""
    for kind, ends in (("input", file.inputs), ("output", file.outputs)):
        for name, tensor in ends.items():
            if tensor.dtype not in TYPES:
                raise LiteRTJsError(
                    f"{kind} {name} is {tensor.dtype}, and LiteRT.js takes only inputs and outputs of "
                    f"{', '.join(TYPES[:-1])} and {TYPES[-1]}"
                )


def _scale(tensor: Tensor) -> tuple[float, int]:
    return (float(tensor.scales[0]), int(tensor.zero_points[0])) if tensor.scales.size else (0.0, 0)


def time_in_turns(
    models: tuple[LiteRTJsModel, LiteRTJsModel],
    example: Mapping[str, npt.NDArray[Any]],
    warmup: int,
    repetitions: int,
) -> npt.NDArray[np.float64]:
    """Times two files in one page, in turns.

    Args:
        models: Both of them.
        example: Feature → values of the one example that both run on.
        warmup: Inferences of each before the timed ones.
        repetitions: Timed inferences of each.

    Returns:
        (2, repetitions) milliseconds.

    Raises:
        LiteRTJsError: If the browser fails, or its clock is coarse because the page is not isolated.
    """
    one = {name: np.asarray(values)[np.newaxis] for name, values in example.items()}
    with tempfile.TemporaryDirectory(prefix="paredown-") as folder:
        found = browser.shared().call(
            "time",
            models=[model.id for model in models],
            inputs={model.id: model.write(one, folder) for model in models},
            warmup=warmup,
            repetitions=repetitions,
        )
    if not found["isolated"]:
        raise LiteRTJsError("the page is not isolated, so its clock is too coarse", "run")
    return np.array(found["times"])
