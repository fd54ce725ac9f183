"""How a TFLite file stores values that are not one after another: packed integers, sparse tensors."""

from __future__ import annotations

from typing import Any

import numpy as np


def unpack(raw: np.ndarray, bits: int, signed: bool) -> np.ndarray:
    """Integers of fewer than 8 bits, several to a byte, the lowest bits first.

    Args:
        raw: Bytes.
        bits: Of an integer: 4 or 2.
        signed: Whether they are in two's complement.

    Returns:
        int8 or uint8, one per integer.
    """
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    values = ((raw[:, np.newaxis] >> shifts) & ((1 << bits) - 1)).reshape(-1)
    if not signed:
        return values.astype(np.uint8)
    sign = 1 << (bits - 1)
    return ((values.astype(np.int16) ^ sign) - sign).astype(np.int8)


def densify(values: np.ndarray, shape: tuple[int, ...], sparsity: Any) -> np.ndarray:
    """A sparse-encoded tensor with its zeros, as the operator DENSIFY makes it.

    The tensor is a tree with a level for each axis, in `traversalOrder`; an axis that is cut into
    blocks has a second level, for the place within the block. A level is dense, or lists for each
    parent the children that are there (CSR).
    https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs (SparsityParameters)

    Args:
        values: What is stored, in the order of the tree's leaves.
        shape: Of the dense tensor.
        sparsity: The schema's `SparsityParametersT`.

    Returns:
        An array of `shape`, 0 where nothing is stored.

    Raises:
        ValueError: Where more is stored than the shape holds.
    """
    from ai_edge_litert import schema_py_generated as schema

    levels = sparsity.dimMetadata
    order, blocked = _vector(sparsity.traversalOrder), _vector(sparsity.blockMap)
    places: list[np.ndarray] = []
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


def _vector(values: Any) -> np.ndarray:
    """A vector of the schema, which is a list, an array, or wrapped in an object of its own."""
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
