"""A TFLite file on LiteRT."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from components.common.data.model_inputs import ExamplesError
from components.common.serving.servable import Port, Servable, ServableError, Signature, Values
from components.common.tflite import tflite_file
from components.common.tflite.litert import LiteRTError, LiteRTModel
from components.common.tflite.operator import Tensor
from components.common.tflite.tflite_file import SIGNATURE, TFLiteFileError

# Names of the file in a version folder: Paredown's, and TensorFlow Serving's.
FILES = ("tflite", "model.tflite")


class TFLiteServable(Servable):
    """A TFLite file. Quantized inputs and outputs are real numbers for clients, as for the gate.

    Examples of a batch run one at a time, as on a device, so that a prediction never depends on what else is
    in its batch: it is the interpreter's, bit by bit.
    """

    runtime = "LiteRT"

    def __init__(self, file: Path, threads: int):
        """Loads the file.

        Args:
            file: The TFLite file. It is read once, so that it may vanish or change afterwards.
            threads: Number of predictions at once, each with its own interpreter.

        Raises:
            ServableError: If it cannot be read, loaded or run.
        """
        try:
            content = file.read_bytes()
            parsed = tflite_file.parse(content, str(file))
            self._models: queue.SimpleQueue[LiteRTModel] = queue.SimpleQueue()
            for _ in range(threads):
                self._models.put(LiteRTModel(content))
        except OSError as error:
            raise ServableError(f"{file} cannot be read: {error.strerror or error}") from error
        except TFLiteFileError as error:
            raise ServableError(str(error)) from error
        except LiteRTError as error:
            raise ServableError(f"{file} {error}") from error
        text = [
            name for name, tensor in {**parsed.inputs, **parsed.outputs}.items() if tensor.dtype == "string"
        ]
        if text:
            raise ServableError(
                f"{file} has inputs or outputs of text ({', '.join(text)}), which are not served"
            )
        self.signatures = {
            SIGNATURE: Signature(
                {name: _port(tensor) for name, tensor in parsed.inputs.items()},
                {name: _port(tensor) for name, tensor in parsed.outputs.items()},
            )
        }
        self._try()

    def _try(self) -> None:
        """Predicts an example, so that the first request takes no longer than others, and cannot be the one to fail."""
        zeros = {
            name: np.zeros([1 if size is None else size for size in port.shape or ()], port.dtype)
            for name, port in self.signatures[SIGNATURE].inputs.items()
        }
        (made,) = self.predict(SIGNATURE, [zeros])
        if isinstance(made, Exception):
            raise ServableError(str(made)) from made

    def predict(self, signature: str, requests: Sequence[Values]) -> list[Values | Exception]:
        model = self._models.get()
        try:
            return [_predicted(model, features) for features in requests]
        finally:
            self._models.put(model)


def _predicted(model: LiteRTModel, features: Values) -> Values | Exception:
    try:
        return model.predict_each(features)
    except (
        LiteRTError,
        ExamplesError,
        ValueError,
        RuntimeError,
    ) as error:  # the last two from setting a tensor
        return error


def _port(tensor: Tensor) -> Port:
    dtype = np.dtype(
        object if tensor.dtype == "string" else np.float32 if tensor.scales.size else tensor.dtype
    )
    batch, *others = tensor.shape or (1,)
    # A file whose batch is fixed at 1 takes any number of examples, too.
    return Port(
        dtype, (None if batch in (1, -1) else batch, *(None if s < 0 else s for s in others)), tensor.name
    )
