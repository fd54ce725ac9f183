"""Sparse-encoded TFLite files: whether they are, and whether the deployed runtime reads them right."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from components.common.data.arrays import Arrays
from components.common.data.model_inputs import InputSpec
from components.common.tflite.litert import LiteRTError, LiteRTModel
from components.common.tflite.tflite_file import TFLiteFile
from components.tflite_converter.conversion_error import ConversionError

_COMPARED = 8
_ADVICE = (
    "leave `sparse` out (zeros then show in gzip_size), write quantization: float32, or leave those layers out of "
    "`prune`"
)
# What expands sparse weights, has a kernel for them, or refuses to load. Others read them as if they were dense, past
# the end of the few that are stored, and may end the process by a segmentation fault.
_READ_SPARSE = frozenset({"DENSIFY", "FULLY_CONNECTED"})
# A kernel that LiteRT has for sparse weights may round to the next integer; what it reads wrongly is
# far off, or not a number.
_TOLERANCE = 0.02


def refuse_dense(file: TFLiteFile) -> None:
    """Raises a ConversionError if no tensor of a file is sparse-encoded."""
    if not file.sparse_tensors:
        raise ConversionError(
            "sparse: true stores no layer sparsely, as none has enough zeros; write a `prune` step before "
            "`convert`, or leave `sparse` out"
        )


def refuse_overrun(file: TFLiteFile) -> None:
    """Raises a ConversionError if LiteRT would read beyond sparse-encoded weights; without loading the file.

    The converter writes such files of float16 weights in 1×4 blocks, and of transposed convolutions.
    """
    for operator in file.operators:
        sparse = [tensor.name for tensor in operator.inputs if tensor is not None and tensor.sparse]
        if sparse and operator.name not in _READ_SPARSE:
            raise ConversionError(
                f"sparse: true gives a file that LiteRT reads wrongly: {operator.name} takes the sparse-encoded "
                f"{sparse[0]} for dense; {_ADVICE}"
            )


def refuse_misread(content: bytes, dense: bytes, calibration: Arrays | None) -> None:
    """Runs a sparse-encoded file on LiteRT beside the same model without that encoding.

    LiteRT expands most sparse kernels when it loads a file, and does not load some.

    Args:
        content: The sparse-encoded file.
        dense: The same conversion without `sparse`.
        calibration: Examples to predict; without them, random ones are.

    Raises:
        ConversionError: If the file does not load, or predicts something else.
    """
    with tempfile.TemporaryDirectory(prefix="paredown-") as folder:
        try:
            sparse_model, dense_model = (
                _load(os.path.join(folder, name), file)
                for name, file in (("sparse", content), ("dense", dense))
            )
            for features in _examples(dense_model.inputs, calibration):
                expected, found = dense_model.predict(features), sparse_model.predict(features)
                for name, values in expected.items():
                    _refuse_other(name, values, found[name])
        except LiteRTError as error:
            kinds = ", ".join(dict.fromkeys(re.findall(r"failed to delegate (\w+) node", str(error))))
            where = f"the sparse-encoded {kinds} layers cannot run: " if kinds else ""
            raise ConversionError(
                f"sparse: true gives a file that {_one_line(error)}; {where}{_ADVICE}"
            ) from error


def _refuse_other(output: str, expected: npt.NDArray[Any], found: npt.NDArray[Any]) -> None:
    largest = np.abs(expected).max(initial=0)
    difference = np.abs(found - expected).max(initial=0)
    if not difference <= _TOLERANCE * max(largest, 1e-6):
        raise ConversionError(
            f"sparse: true gives a file that LiteRT reads wrongly: {output} differs by {difference:.3g} from "
            f"the same file without it, whose values go up to {largest:.3g}; {_ADVICE}"
        )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _load(path: str, content: bytes) -> LiteRTModel:
    with open(path, "wb") as file:
        file.write(content)
    return LiteRTModel(path)


def _examples(inputs: Mapping[str, InputSpec], calibration: Arrays | None) -> list[dict[str, Any]]:
    """A few examples for a model: of those given, or random floats and zeros for other types."""
    if calibration is not None:
        count = min(_COMPARED, len(calibration))
        return [{name: values[i] for name, values in calibration.features.items()} for i in range(count)]
    random = np.random.default_rng(0)

    def made(spec: InputSpec) -> npt.NDArray[Any]:
        shape, dtype = [size or 1 for size in spec.shape], np.dtype(spec.dtype)
        real = np.issubdtype(dtype, np.floating)
        return random.normal(size=shape).astype(dtype) if real else np.zeros(shape, dtype)

    return [{name: made(spec) for name, spec in inputs.items()} for _ in range(_COMPARED)]
