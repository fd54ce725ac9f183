"""A model as C++ sources for a program with TFLite Micro: `push: {c_array: true}`.

https://ai.google.dev/edge/litert/microcontrollers/get_started
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt

from components.common.base.label import from_parameter
from components.common.data.examples import Examples
from components.common.steps.step_executor import label_fields
from components.common.tflite import tflite_file, tflm
from components.common.tflite.operator import Tensor
from components.common.tflite.packing import DECODE
from components.common.tflite.tflm import TFLMModel, least_arena

FOLDER = "c"
_TEMPLATES = ("model.h", "model.cc", "example.h", "main.cc", "README.md")
# Operators whose method of MicroMutableOpResolver is not named by the rule.
_METHODS = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    DECODE: "Decode",
    "TFLite_Detection_PostProcess": "DetectionPostprocess",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}
_C_TYPES = {
    "float32": "float",
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "bool": "bool",
}
_PER_LINE = 12
_SEED = 0


@dataclass(frozen=True)
class Port:
    """An input or output of the model.

    Attributes:
        index: Its place among the interpreter's inputs or outputs.
        name: In the file's signature.
        type: In C: `int8_t`.
        enum: TFLite's name of the type: `kTfLiteInt8`.
        shape: Lengths of its axes, the batch's first.
        scale: Real size of one step; 0 if it is not quantized.
        zero_point: The integer that stands for 0.
        values: The example, row by row, as C writes it.
        count: Number of values.
    """

    index: int
    name: str
    type: str
    enum: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int
    values: str
    count: int


def write(content: bytes, folder: Path, data: Mapping[str, str]) -> list[str]:
    """Writes the sources into `folder`/c, with an eval example.

    TFLite Micro's reference kernels compute its output on this machine.

    Args:
        content: The TFLite file; the packed one if there is one, whose kernels are decoded into the arena.
        folder: An existing folder.
        data: Where the examples are, as `components.pusher.beside.add` takes it.

    Returns:
        Paths of the files, relative to `folder`.

    Raises:
        TFLMError: If TFLite Micro cannot run the file.
        ExamplesError: If a feature does not fit it.
    """
    model = TFLMModel(content)
    file = tflite_file.parse(content)
    examples = Examples(
        data["examples"],
        data["schema"],
        data.get("transform_graph"),
        from_parameter(data["label"]),
        **label_fields(data["label_options"]),
    )
    drawn = examples.open("eval", model.inputs).draw(1, _SEED)
    stored = model.stored_inputs(drawn.feature_arrays())
    given = {name: values.reshape(model.shape(name)) for name, values in stored.items()}
    made = model.run(given)
    facts = {
        "size": len(content),
        "bytes": _lines(f"0x{byte:02x}" for byte in content),
        "arena": least_arena(content, model.arena()),
        "operators": [resolver_method(name) for name in sorted(file.operator_counts)],
        "inputs": [
            _port(place, name, file.inputs[name], given[name])
            for name, place in _ordered(model.places.inputs)
        ],
        "outputs": [
            _port(place, name, file.outputs[name], made[name][np.newaxis])
            for name, place in _ordered(model.places.outputs)
        ],
        "packed": DECODE in file.operator_counts,
        "version": tflm.version(),
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(resources.files(__package__) / "c_array_files")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    (folder / FOLDER).mkdir()
    for name in _TEMPLATES:
        text = environment.get_template(f"{name}.j2").render(facts)
        (folder / FOLDER / name).write_text(text, encoding="utf-8")
    return [f"{FOLDER}/{name}" for name in _TEMPLATES]


def resolver_method(operator: str) -> str:
    """The method of `MicroMutableOpResolver` that adds an operator: CONV_2D → AddConv2D."""
    words = (word.upper() if word[0].isdigit() else word.capitalize() for word in operator.split("_"))
    return f"Add{_METHODS.get(operator) or ''.join(words)}"


def _ordered(places: dict[str, int]) -> list[tuple[str, int]]:
    return [(name, place) for place, name in sorted((place, name) for name, place in places.items())]


def _port(index: int, name: str, tensor: Tensor, values: npt.NDArray[Any]) -> Port:
    flat = values.ravel()
    real = tensor.dtype.startswith("float")
    return Port(
        index=index,
        name=name,
        type=_C_TYPES[tensor.dtype],
        enum=f"kTfLite{tensor.dtype.capitalize()}",
        shape=tuple(int(size) for size in values.shape),
        scale=float(tensor.scales[0]) if tensor.scales.size else 0.0,
        zero_point=int(tensor.zero_points[0]) if tensor.scales.size else 0,
        values=_lines(_float(value) if real else str(int(value)) for value in flat.tolist()),
        count=int(flat.size),
    )


def _float(value: float) -> str:
    text = f"{value:.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def _lines(items: Iterable[str]) -> str:
    texts = list(items)
    rows = (", ".join(texts[start : start + _PER_LINE]) for start in range(0, len(texts), _PER_LINE))
    return ",\n    ".join(rows)
