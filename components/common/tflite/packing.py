"""Kernels with few distinct values as look-up tables, which TFLite Micro decodes while it runs.

https://github.com/tensorflow/tflite-micro/blob/main/tensorflow/lite/micro/docs/compression.md
"""

from __future__ import annotations

import dataclasses
import json
import math
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from ai_edge_litert.tools import flatbuffer_utils

from components.common.base.errors import ParedownError
from components.common.base.quantities import bytes_text
from components.common.tflite import tflite_file, tflm
from components.common.tflite.kernel import Kernel
from components.common.tflite.packed_kernel import PackedKernel
from components.common.tflite.tflm import TFLMError, TFLMModel

# Values of a table: indices have at most 7 bits.
MOST_VALUES = 128
# Custom operator that decodes a kernel into the arena.
DECODE = "TFLM_DECODE"

Mode = Literal["lut", "auto"]

_DTYPES = frozenset({"int8", "int16", "float32"})
# Header before the values of tables.
_HEADER = 16


class PackingError(ParedownError):
    """A file cannot be packed."""


@dataclass(frozen=True)
class Packing:
    """A packed file.

    Attributes:
        content: The file; None if no kernel is packed.
        kernels: What became of each kernel.
    """

    content: bytes | None
    kernels: tuple[PackedKernel, ...]


def pack(content: bytes, mode: Mode, memory: float | None = None) -> Packing:
    """Packs the kernels of a file that have at most 128 distinct values.

    What TFLite Micro's decoder takes decides how: a kernel with one scale, or none, gets one table, and a kernel with
    a scale for each channel gets a table for each. The values are counted in the file itself.

    Args:
        content: A TFLite file.
        mode: lut: each kernel whose indices and tables take fewer bytes. auto: of these, the ones that make the file
            smaller, those that save most first, as long as the packed file's arena is within `memory`.
        memory: Bytes; None for any number of them.

    Raises:
        PackingError: If no kernel can be packed (lut), or TFLite Micro does not load the packed file.
        TFLMError: If TFLite Micro does not load the file as it is, or is not installed.
    """
    tflm.version()
    file = tflite_file.parse(content)
    tensors = _tensors_by_buffer(content)
    found = [(kernel, _looked_at(kernel, file.kernels, tensors[kernel.buffer])) for kernel in file.kernels]
    packable = [(kernel, one) for kernel, one in found if not one.left]
    if mode == "auto":
        chosen, left = _worthwhile(content, packable, tensors, memory)
    else:
        chosen, left = packable, {}
        if not chosen:
            raise PackingError(
                "pack: lut finds no kernel to pack: "
                f"{'; '.join(one.text for _, one in found) or 'the file has none'}; write a `cluster` step before "
                "`convert`, or remove `pack`"
            )
    packed = _compress(content, chosen, tensors) if chosen else None
    if packed is not None:
        try:
            TFLMModel(packed)
        except TFLMError as error:
            raise PackingError(f"the packed file {error}; write pack: auto, or remove `pack`") from error
    kernels = tuple(
        dataclasses.replace(one, bits=0, packed=one.plain, left=left[kernel.buffer])
        if kernel.buffer in left
        else one
        for kernel, one in found
    )
    return Packing(packed, kernels)


def few_values(content: bytes, most: dict[str, int]) -> bytes:
    """A file whose kernels have as many distinct values as they are to have, before anything is trained.

    What a packed file takes depends on the numbers of values alone, not on the values.

    Args:
        content: A TFLite file of an untrained model.
        most: Layer → number of distinct values of its kernel.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    random = np.random.default_rng(0)
    for kernel in tflite_file.parse(content).kernels:
        if kernel.layer in most and kernel.dtype in _DTYPES:
            channels = int(kernel.scales.size) if kernel.scales.size > 1 else 1
            shape = np.moveaxis(kernel.values, kernel.channel_axis, 0).shape
            row = (
                np.arange(kernel.values.size // channels) % most[kernel.layer]
                - (most[kernel.layer] - 1) // 2
            )
            rows = random.permuted(np.tile(row, (channels, 1)), axis=1).reshape(shape)
            rows = rows.astype(kernel.values.dtype)
            raw = np.ascontiguousarray(np.moveaxis(rows, 0, kernel.channel_axis))
            model.buffers[kernel.buffer].data = np.frombuffer(raw.tobytes(), np.uint8)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


# (subgraph, tensor) in the file.
_Place = tuple[int, int]
_Chosen = Sequence[tuple[Kernel, PackedKernel]]
_Tensors = dict[int, list[_Place]]


def _tensors_by_buffer(content: bytes) -> _Tensors:
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    found: _Tensors = defaultdict(list)
    for number, graph in enumerate(model.subgraphs):
        for index, tensor in enumerate(graph.tensors or []):
            found[int(tensor.buffer)].append((number, index))
    return found


def _looked_at(kernel: Kernel, kernels: Iterable[Kernel], places: list[_Place]) -> PackedKernel:
    """The kernel as it would be packed, or why it cannot be."""
    channels = int(kernel.scales.size) if kernel.scales.size > 1 else 1
    if channels > 1:
        rows = np.moveaxis(kernel.values, kernel.channel_axis, 0).reshape(channels, -1)
        distinct = max(int(np.unique(row).size) for row in rows)
    else:
        distinct = kernel.unique()
    plain, weights = int(kernel.values.nbytes), int(kernel.values.size)
    bits = max(1, (distinct - 1).bit_length())
    packed = math.ceil(weights * bits / 8) + _HEADER + channels * distinct * kernel.values.itemsize
    left = _why_left(kernel, kernels, places, channels)
    if not left and distinct > MOST_VALUES:
        each = " in a channel" if channels > 1 else ""
        left = f"{distinct:,} distinct values{each}, and a table holds at most {MOST_VALUES}"
    if not left and packed >= plain:
        left = f"indices and tables would take {packed:,} B, and the kernel takes {plain:,} B"
    name = kernel.layer or kernel.tensor
    if left:
        return PackedKernel(name, weights, distinct, channels, 0, plain, plain, left)
    return PackedKernel(name, weights, distinct, channels, bits, plain, packed)


def _why_left(kernel: Kernel, kernels: Iterable[Kernel], places: list[_Place], channels: int) -> str:
    """Why the decoder cannot stand in for a kernel, whatever its values are."""
    if kernel.dtype not in _DTYPES or kernel.sparse:
        return f"{'sparse-encoded ' if kernel.sparse else ''}{kernel.dtype} weights cannot be decoded"
    axis = kernel.channel_axis
    last = kernel.values.ndim - 1
    if kernel.scales.size and not (axis == 0 or (channels > 1 and axis == last)):
        return f"its scales go along axis {axis}, which TFLite Micro's decoder does not take"
    sharing = [other for other in kernels if other.buffer == kernel.buffer]
    alike = {(o.scales.size, o.channel_axis, o.values.shape) for o in sharing}
    if len(sharing) < len(places) or len(alike) > 1:
        return "another tensor of the file shares its values"
    return ""


def _worthwhile(
    content: bytes, packable: _Chosen, tensors: _Tensors, memory: float | None
) -> tuple[_Chosen, dict[int, str]]:
    """The kernels that make a file smaller within a number of bytes of memory, and why the others are left."""
    chosen: list[tuple[Kernel, PackedKernel]] = []
    left: dict[int, str] = {}
    size = len(content)
    by_saving = sorted(packable, key=lambda item: item[1].packed - item[1].plain)
    for kernel, one in by_saving:
        buffers = {other.buffer for other, _ in chosen}
        if kernel.buffer in buffers or kernel.buffer in left:  # two layers share it
            continue
        own = [item for item in packable if item[0].buffer == kernel.buffer]
        packed = _compress(content, [*chosen, *own], tensors)
        if len(packed) >= size:
            left[kernel.buffer] = (
                f"its decoder takes more flash than the {one.plain - one.packed:,} B it saves"
            )
            continue
        try:
            taken = TFLMModel(packed).arena().total
        except TFLMError as error:
            left[kernel.buffer] = f"packed, it {error}"
            continue
        if memory is not None and taken > memory:
            left[kernel.buffer] = (
                f"decoding it would take memory to {bytes_text(taken)}, above {bytes_text(memory)}"
            )
            continue
        chosen += own
        size = len(packed)
    return chosen, left


def _compress(content: bytes, chosen: _Chosen, tensors: _Tensors) -> bytes:
    from tflite_micro import compression

    entries = {
        place: {
            "index_bitwidth": one.bits,
            **({"per_tensor": None} if one.tables == 1 else {"per_channel": {"axis": kernel.channel_axis}}),
        }
        for kernel, one in chosen
        for place in tensors[kernel.buffer]
    }
    # The library's public way to say so is YAML, of which JSON is a part.
    spec = compression.parse_yaml(
        json.dumps(
            {
                "tensors": [
                    {"subgraph": graph, "tensor": tensor, "compression": [{"lut": entry}]}
                    for (graph, tensor), entry in entries.items()
                ]
            }
        )
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what `_looked_at` has seen
            return bytes(compression.compress(content, spec))
    except Exception as error:  # its own error class is not public
        raise PackingError(f"packing failed: {error}") from error
