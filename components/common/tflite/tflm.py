"""A TFLite file on the runtime of microcontrollers: TFLite Micro's interpreter, with its reference kernels.

https://github.com/tensorflow/tflite-micro
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from ai_edge_litert.tools import flatbuffer_utils

from components.common.base.errors import ParedownError
from components.common.base.installed import version_or_none
from components.common.data.model_inputs import InputSpec, shaped
from components.common.tflite import tflite_file
from components.common.tflite.arena import ALIGNMENT, Arena
from components.common.tflite.file_model import FileModel
from components.common.tflite.litert import dequantize, quantize
from components.common.tflite.operator import Operator, Tensor
from components.common.tflite.tflite_file import SIGNATURE, TFLiteFile, TFLiteFileError

PACKAGE = "tflite-micro"
# Bytes of the arenas that are tried in turn. Only the used part of an arena is ever touched.
_ARENAS = (1 << 20, 1 << 24, 1 << 28)
# Message of the allocator if an arena is too small.
_TOO_SMALL = re.compile(
    r"missing: \d+|[Aa]rena size is too small|Failed to allocate (tail|temp) memory|insufficient"
)
_NO_OPERATOR = re.compile(r"Didn't find op for builtin opcode '(\w+)'")
_NOT_PREPARED = re.compile(r"Node (\w+) \(number \d+\) failed to (?:prepare|invoke)")
_CUSTOM = re.compile(r"Failed to get registration from op code CUSTOM")
_ALLOCATION = re.compile(r"Arena allocation (head|tail) (\d+) bytes")
# Operators that keep values from one inference to the next.
_STATEFUL = frozenset({"UNIDIRECTIONAL_SEQUENCE_LSTM", "SVDF", "VAR_HANDLE", "CIRCULAR_BUFFER"})

_one_at_a_time = threading.Lock()
Result = TypeVar("Result")


class TFLMError(ParedownError):
    """A file does not load or run on TFLite Micro; the message has the reason.

    Attributes:
        operator: Name of the operator at fault; empty if it is none.
        why: What is wrong with it, without its name.
    """

    def __init__(self, why: str, operator: str = "", verb: str = "load"):
        named = f"{operator}: " if operator else ""
        super().__init__(f"does not {verb} on TFLite Micro: {named}{why}")
        self.operator = operator
        self.why = why


def version() -> str:
    """The installed version of TFLite Micro.

    Raises:
        TFLMError: If it is not installed.
    """
    found = version_or_none(PACKAGE)
    if found is None:
        raise TFLMError(f"it is not installed; run: pip install --pre {PACKAGE}")
    return found


@dataclass(frozen=True)
class Places:
    """Name of each input and output in the signature → its place among the interpreter's."""

    inputs: dict[str, int]
    outputs: dict[str, int]


class TFLMModel(FileModel):
    """A loaded TFLite file, one example at a time, like `LiteRTModel`.

    Attributes:
        inputs: Name in the signature → shape without the batch dimension, and the float dtype to feed
            (quantized inputs are quantized here).
        places: Where the interpreter has them, and the outputs.
    """

    def __init__(self, content: bytes, arena_size: int | None = None):
        """Loads a file.

        Args:
            content: The whole file.
            arena_size: Bytes of the arena; None: as many as it needs.

        Raises:
            TFLMError: If it cannot be loaded, or TFLite Micro is not installed.
        """
        version()
        try:
            file = tflite_file.parse(content)
        except TFLiteFileError as error:
            raise TFLMError(error.reason) from error
        if SIGNATURE not in file.signatures:
            raise TFLMError(f"it has no signature {SIGNATURE!r}")
        _refuse_types(file)
        self._interpreter = _load(content, file, arena_size)
        self._stateful = not _STATEFUL.isdisjoint(file.operator_counts)
        self.places = _places(content)
        self._tensors = {**file.inputs, **file.outputs}
        self._shapes = {
            name: tuple(int(size) for size in self._interpreter.get_input_details(place)["shape"])
            for name, place in self.places.inputs.items()
        }
        self.inputs = {
            name: InputSpec(
                self._shapes[name][1:],
                np.float32 if file.inputs[name].scales.size else np.dtype(file.inputs[name].dtype).type,
            )
            for name in self.places.inputs
        }

    @classmethod
    def read(cls, path: str) -> TFLMModel:
        """The model in a file.

        Raises:
            TFLMError: As the constructor, and if the file cannot be read.
        """
        try:
            with open(path, "rb") as file:
                return cls(file.read())
        except OSError as error:
            raise TFLMError(f"it cannot be read: {error.strerror or error}") from error

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of an input, with a batch of one."""
        return self._shapes[name]

    def predict_each(self, features: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Predicts examples, one by one.

        Args:
            features: Input → (examples, …) values; each example has the input's number of elements.

        Returns:
            Output → (examples, …) real values.

        Raises:
            TFLMError: If an input has no feature, or the interpreter fails.
            ExamplesError: If a feature has another number of elements.
        """
        given = self.stored_inputs(features)
        rows: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in self.places.outputs}
        for example in range(len(next(iter(given.values())))):
            found = self.run({name: values[example] for name, values in given.items()})
            for name, values in found.items():
                rows[name].append(values)
        return {name: self.real(name, np.stack(row)) for name, row in rows.items()}

    def stored_inputs(self, features: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Input → what its tensor holds for each example, in the order of `features`; see `predict_each`."""
        given = {}
        for name, spec in self.inputs.items():
            if features.get(name) is None:
                raise TFLMError(
                    f"it needs the feature {name!r}, which an example does not have", verb="run"
                )
            given[name] = self.stored(name, np.asarray(shaped(np.asarray(features[name]), spec, name)))
        return given

    def stored(self, name: str, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Real values of an input as its tensor holds them."""
        tensor = self._tensors[name]
        return quantize(values, *_scale(tensor), np.dtype(tensor.dtype))

    def real(self, name: str, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The real values of an output's tensor."""
        return dequantize(values, *_scale(self._tensors[name]))

    def run(self, stored: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Runs one example.

        Args:
            stored: Input → what its tensor holds, in any shape of its number of elements.

        Returns:
            Output → what its tensor holds, without the batch dimension.

        Raises:
            TFLMError: If the interpreter fails.
        """
        try:
            if self._stateful:
                self._interpreter.reset()
            for name, place in self.places.inputs.items():
                values = np.ascontiguousarray(stored[name].reshape(self._shapes[name]))
                self._interpreter.set_input(values, place)
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise TFLMError(str(error), verb="run") from error
        return {
            name: np.array(self._interpreter.get_output(place))[0]
            for name, place in self.places.outputs.items()
        }

    def arena(self) -> Arena:
        """The memory that the interpreter takes.

        Raises:
            TFLMError: If its allocator does not say.
        """
        _, log = _with_log(self._interpreter.print_allocations)
        found = {part: int(count) for part, count in _ALLOCATION.findall(log)}
        if found.keys() != {"head", "tail"}:
            raise TFLMError("its allocator does not report its memory", verb="run")
        return Arena(found["head"], found["tail"])


def least_arena(content: bytes, recorded: Arena) -> int:
    """The smallest arena, in steps of its alignment, in which a file loads on this machine.

    Args:
        content: The file.
        recorded: What the allocator counted, which is a few bytes less.

    Raises:
        TFLMError: If it does not load in 4 kB more, either.
    """
    first = -(-recorded.total // ALIGNMENT) * ALIGNMENT
    for size in range(first, first + 4096, ALIGNMENT):
        try:
            TFLMModel(content, size)
        except TFLMError:
            continue
        return size
    raise TFLMError(f"it takes more than the {recorded.total:,} bytes that its allocator counts")


def _scale(tensor: Tensor) -> tuple[float, int]:
    return (float(tensor.scales[0]), int(tensor.zero_points[0])) if tensor.scales.size else (0.0, 0)


def _places(content: bytes) -> Places:
    """Name of each input and output in the signature → its place among those of the subgraph."""
    model = flatbuffer_utils.read_model_from_bytearray(content)
    signature = next(one for one in model.signatureDefs if one.signatureKey.decode() == SIGNATURE)
    graph = model.subgraphs[signature.subgraphIndex]
    return Places(
        *(
            {entry.name.decode(): [int(i) for i in ends].index(int(entry.tensorIndex)) for entry in named}
            for named, ends in ((signature.inputs, graph.inputs), (signature.outputs, graph.outputs))
        )
    )


def _refuse_types(file: TFLiteFile) -> None:
    """Raises a TFLMError that names the operator whose types no kernel of TFLite Micro takes."""
    for operator in file.operators:
        if any(tensor is not None and tensor.dtype == "float16" for tensor in operator.inputs):
            raise TFLMError("its weights are float16, which no kernel of TFLite Micro reads", operator.name)
        if _is_hybrid(operator):
            raise TFLMError(
                "its weights are int8 and its values float32 (dynamic range), and TFLite Micro has no hybrid kernels",
                operator.name,
            )
        sparse = [tensor.name for tensor in operator.inputs if tensor is not None and tensor.sparse]
        if sparse:
            raise TFLMError(
                "its weights are sparse-encoded, which TFLite Micro does not read", operator.name
            )


def _is_hybrid(operator: Operator) -> bool:
    value, kernel = (*operator.inputs, None, None)[:2]
    quantized = kernel is not None and kernel.constant and bool(kernel.scales.size)
    return quantized and value is not None and value.dtype == "float32" and operator.in_float()


def _load(content: bytes, file: TFLiteFile, arena_size: int | None) -> Any:
    from tflite_micro.python.tflite_micro import runtime

    sizes = (arena_size,) if arena_size is not None else _ARENAS
    log = ""
    for size in sizes:
        try:
            interpreter, log = _with_log(partial(runtime.Interpreter.from_bytes, content, arena_size=size))
        except _Failed as error:
            log = error.log
            if not _TOO_SMALL.search(log):
                raise _refusal(log, file) from error
        else:
            return interpreter
    raise TFLMError(f"it needs an arena of more than {sizes[-1]:,} bytes: {_last(log)}")


def _refusal(log: str, file: TFLiteFile) -> TFLMError:
    """The interpreter's message, once, as a typed error."""
    if found := _NO_OPERATOR.search(log):
        return TFLMError("TFLite Micro has no such operator", found[1])
    if _CUSTOM.search(log):
        known = {operator.name for operator in file.operators if operator.name.startswith("Flex")}
        names = ", ".join(sorted(known)) or "a custom operator"
        return TFLMError("it is not an operator of TFLite, and TFLite Micro has no others", names)
    if found := _NOT_PREPARED.search(log):
        return TFLMError(_first(log), found[1])
    return TFLMError(_last(log))


def _first(log: str) -> str:
    line = next((line for line in log.splitlines() if line.strip()), "")
    return re.sub(r"^\S+\.(?:cc|h)(?::\d+)?:?\s+", "", line).rstrip(". ")


def _last(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return lines[-1] if lines else "it does not say why"


class _Failed(Exception):
    """An interpreter raised; `log` is what it wrote."""

    def __init__(self, log: str):
        super().__init__(log)
        self.log = log


def _with_log(work: Callable[[], Result]) -> tuple[Result, str]:
    """Does something, and returns what C++ wrote to standard error meanwhile.

    Raises:
        _Failed: If it raises a RuntimeError or ValueError.
    """
    with _one_at_a_time, tempfile.TemporaryFile() as written:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(written.fileno(), 2)
        failed: Exception | None = None
        try:
            result = work()
        except (RuntimeError, ValueError) as error:
            failed = error
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        written.seek(0)
        log = written.read().decode(errors="replace")
    if failed is not None:
        raise _Failed(log or str(failed)) from failed
    return result, log
