"""A TFLite file on the runtime that people deploy on: LiteRT with its default delegate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from components.common.base.errors import ParedownError
from components.common.base.texts import listed
from components.common.data.model_inputs import InputSpec, shaped
from components.common.tflite import tflite_file
from components.common.tflite.file_model import FileModel
from components.common.tflite.tflite_file import SIGNATURE, TFLiteFile, TFLiteFileError


class LiteRTError(ParedownError):
    """A file does not load, lacks the signature, or does not run; the message has the reason."""


def quantize(
    values: npt.NDArray[Any], scale: float, zero_point: int, dtype: npt.DTypeLike
) -> npt.NDArray[Any]:
    """Real values as the integers that a quantized tensor holds: rounded, then clipped.

    Args:
        values: Any shape.
        scale: Real size of one step; 0 if the tensor is not quantized.
        zero_point: The integer that stands for 0.
        dtype: Dtype of the tensor.
    """
    if not scale:
        return values.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    steps = np.round(values.astype(np.float64) / scale) + zero_point
    return np.clip(steps, limits.min, limits.max).astype(dtype)


def dequantize(values: npt.NDArray[Any], scale: float, zero_point: int) -> npt.NDArray[Any]:
    """The real values of a tensor's integers; float tensors are returned as they are."""
    if not scale:
        return values
    return ((values.astype(np.float64) - zero_point) * scale).astype(np.float32)


def _refuse_flex(file: TFLiteFile) -> None:
    """Raises a LiteRTError if a file has TensorFlow's own operators.

    If TensorFlow happens to be imported, LiteRT finds its Flex delegate, and runs what does not even
    load on the devices that the file is for.
    """
    flex = sorted(name for name in file.operator_counts if name.startswith("Flex"))
    if flex:
        raise LiteRTError(f"does not load on LiteRT: needs the Flex delegate for {', '.join(flex)}")


def _refuse_dead(file: TFLiteFile) -> None:
    """Raises a LiteRTError that names the layers whose weights are not numbers; LiteRT's own names none."""
    dead = [kernel for kernel in file.kernels if kernel.not_finite]
    if dead:
        named = [
            f"{kernel.not_finite:,} of layer {kernel.layer or kernel.tensor} ({kernel.values.size:,} weights)"
            for kernel in dead
        ]
        raise LiteRTError(
            f"has weights that are NaN or infinite: {listed(named)}; a training diverged: lower its learning rate"
        )


class LiteRTModel(FileModel):
    """A loaded TFLite file, one example at a time.

    Examples go through one by one, as on a device: the delegate's kernels for larger batches may
    round differently.

    Attributes:
        inputs: Name in the signature → shape without the batch dimension, and the float dtype to feed
            (quantized inputs are quantized here).
    """

    def __init__(self, source: str | bytes, threads: int = 1):
        """Loads the file and prepares the delegate.

        Args:
            source: Path of the TFLite file, which is mapped into memory and must not change while the model is
                used; or its content.
            threads: Threads of the interpreter.

        Raises:
            LiteRTError: If the file cannot be loaded or has no `serving_default`.
        """
        from ai_edge_litert.interpreter import Interpreter

        try:
            file = tflite_file.parse(source) if isinstance(source, bytes) else tflite_file.read(source)
        except TFLiteFileError as error:
            raise LiteRTError(f"does not load on LiteRT: {error.reason}") from error
        _refuse_flex(file)
        _refuse_dead(file)
        try:
            given = {"model_content" if isinstance(source, bytes) else "model_path": source}
            self._interpreter = Interpreter(**given, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError, OSError) as error:
            raise LiteRTError(f"does not load on LiteRT: {error}") from error
        if SIGNATURE not in self._interpreter.get_signature_list():
            raise LiteRTError(f"has no signature {SIGNATURE!r}")
        runner = self._interpreter.get_signature_runner(SIGNATURE)
        self._inputs: dict[str, dict[str, Any]] = runner.get_input_details()
        self._outputs: dict[str, dict[str, Any]] = runner.get_output_details()
        self.inputs = {
            name: InputSpec(
                tuple(int(size) for size in detail["shape"][1:]),
                np.float32 if detail["quantization"][0] else detail["dtype"],
            )
            for name, detail in self._inputs.items()
        }

    def predict_each(self, features: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Predicts examples, one by one; what can be done on arrays without changing a value is.

        Args:
            features: Input → (examples, …) values; each example has the input's number of elements.

        Returns:
            Output → (examples, …) real values.

        Raises:
            LiteRTError: If an input has no feature, or the interpreter fails.
            ExamplesError: If a feature has another number of elements.
        """
        given = []
        for name, detail in self._inputs.items():
            if features.get(name) is None:
                raise LiteRTError(f"needs the feature {name!r}, which an example does not have")
            values = np.asarray(shaped(np.asarray(features[name]), self.inputs[name], name))
            scale, zero_point = detail["quantization"]
            given.append((detail["index"], quantize(values, scale, zero_point, detail["dtype"])))
        wanted = [detail["index"] for detail in self._outputs.values()]
        rows: list[list[npt.NDArray[Any]]] = [[] for _ in wanted]
        for example in range(len(given[0][1])):
            for index, values in given:
                self._interpreter.set_tensor(index, values[example : example + 1])
            self.invoke()
            for row, index in zip(rows, wanted, strict=True):
                row.append(self._interpreter.get_tensor(index)[0])
        return {
            name: dequantize(np.stack(row), *detail["quantization"])
            for (name, detail), row in zip(self._outputs.items(), rows, strict=True)
        }

    def invoke(self) -> None:
        """Runs the interpreter on the inputs that were set last.

        Raises:
            LiteRTError: If it fails.
        """
        try:
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise LiteRTError(f"does not run on LiteRT: {error}") from error
