"""How a TFLite file stores values that are not one after another: packed integers, sparse tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema


def unpack(raw: npt.NDArray[np.uint8], bits: int, signed: bool) -> npt.NDArray[np.int8 | np.uint8]:
    """Integers of fewer than 8 bits, several to a byte, the lowest bits first.

    Args:
        raw: Bytes.
        bits: Bits of each integer: 4 or 2.
        signed: Whether they are in two's complement.

    Returns:
        One int8 or uint8 for each integer.
    """
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    values = ((raw[:, np.newaxis] >> shifts) & ((1 << bits) - 1)).reshape(-1)
    if not signed:
        return values.astype(np.uint8)
    sign = 1 << (bits - 1)
    return ((values.astype(np.int16) ^ sign) - sign).astype(np.int8)


def densify(values: npt.NDArray[Any], shape: tuple[int, ...], sparsity: Any) -> npt.NDArray[Any]:
    """A sparse-encoded tensor with its zeros, as the operator DENSIFY makes it.

    The tensor is a tree with a level for each axis, in `traversalOrder`; an axis that is cut into
    blocks has a second level, for the place within the block. A level is dense, or lists for each
    parent the children that are there (CSR).
    https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs (SparsityParameters)

    Args:
        values: The stored values, in the order of the tree's leaves.
        shape: Shape of the dense tensor.
        sparsity: The schema's `SparsityParametersT`.

    Returns:
        An array of `shape`, with zeros in the places of which nothing is stored.

    Raises:
        ValueError: If more is stored than the shape holds.
    """
    levels = sparsity.dimMetadata
    order, blocked = _vector(sparsity.traversalOrder), _vector(sparsity.blockMap)
    places: list[npt.NDArray[np.int64]] = []
    nodes = 1
    for level in levels:
        if level.format == schema.DimensionType.DENSE:
            if level.denseSize * nodes > np.prod(shape):
                raise ValueError(f"a sparse tensor of shape {shape} stores more than that")
            parents = np.repeat(np.arange(nodes), level.denseSize)
            place = np.tile(np.arange(level.denseSize), nodes)
        else:
            segments, place = _vector(level.arraySegments), _vector(level.arrayIndices)
            parents = np.repeat(np.arange(nodes), np.diff(segments))
        places = [known[parents] for known in places] + [place]
        nodes = len(place)
    lengths = {
        axis: levels[list(order).index(len(shape) + block)].denseSize for block, axis in enumerate(blocked)
    }
    coordinates = [np.zeros(nodes, np.int64) for _ in shape]
    for place, axis in zip(places, order, strict=True):
        if axis < len(shape):
            coordinates[axis] += place * lengths.get(axis, 1)
        else:
            coordinates[blocked[axis - len(shape)]] += place
    dense = np.zeros(shape, values.dtype)
    dense[tuple(coordinates)] = values[:nodes]
    return dense


def _vector(values: Any) -> npt.NDArray[np.int64]:
    """A vector of the schema, which is a list, an array, or an object that holds one of these."""
    values = getattr(values, "values", values)
    return np.asarray([] if values is None else values, np.int64)


def index_bytes(sparsity: Any) -> int:
    """Bytes of the indices of a sparse-encoded tensor."""
    widths = {"Int32VectorT": 4, "Uint16VectorT": 2, "Uint8VectorT": 1}
    vectors = (
        vector
        for level in getattr(sparsity, "dimMetadata", None) or []
        for vector in (level.arraySegments, level.arrayIndices)
        if vector is not None
    )
    return sum(widths[type(vector).__name__] * len(_vector(vector)) for vector in vectors)
