"""Block sparsity: blocks of weights that become zero as one.

TFMOT's own pools magnitudes over blocks that are centred on the kernel, and masks blocks that begin at its
first weight: if sizes are not multiples of the block's, as with 10 outputs and 4 columns, it zeroes others
than the smallest. It fails if there is only one block in a row or a column. Its threshold and its
schedules are used; which weights form a block is decided here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.pruner import invariants


def areas(shape: Sequence[int], block: Sequence[int]) -> NDArray[Any]:
    """Weights in each block of a kernel; those at its last row and column may be smaller.

    Args:
        shape: Shape of the kernel, (rows, columns).
        block: Rows and columns of a block.

    Returns:
        Array of shape (blocks in a column, blocks in a row).
    """
    rows, columns = (
        np.diff([*range(0, size, length), size]) for size, length in zip(shape, block, strict=True)
    )
    return np.outer(rows, columns)


def pooled(weights: tf.Tensor, block: Sequence[int], pooling: str) -> tf.Tensor:
    """Mean or greatest magnitude in each block of a kernel.

    Args:
        weights: (rows, columns).
        block: Rows and columns of a block.
        pooling: "avg" or "max".

    Returns:
        Tensor of the shape of `areas`.
    """
    sizes = areas(weights.shape, block)
    missing = [
        [0, count * length - size]
        for size, length, count in zip(weights.shape, block, sizes.shape, strict=True)
    ]
    padded = tf.pad(tf.abs(weights), missing)
    split = tf.reshape(padded, [sizes.shape[0], block[0], sizes.shape[1], block[1]])
    if pooling == "max":
        return tf.reduce_max(split, axis=[1, 3])
    return tf.reduce_sum(split, axis=[1, 3]) / tf.constant(sizes, weights.dtype)


def spread(mask: tf.Tensor, shape: Sequence[int], block: Sequence[int]) -> tf.Tensor:
    """A mask of weights from one of blocks.

    Args:
        mask: Mask with the shape of `areas`.
        shape: Shape of the kernel.
        block: Rows and columns of a block.
    """
    rows = tf.repeat(mask, block[0], axis=0)[: shape[0]]
    return tf.repeat(rows, block[1], axis=1)[:, : shape[1]]


def prune_in_blocks(wrapper: Any, block: Sequence[int], pooling: str) -> None:
    """Has a layer that TFMOT wrapped pruned in blocks.

    Args:
        wrapper: A Dense layer, wrapped by `prune_low_magnitude` without block size, and built.
        block: Rows and columns of a block.
        pooling: "avg" or "max".
    """
    pruning = wrapper.pruning_obj

    def masked(weights: tf.Variable) -> tuple[tf.Tensor, tf.Tensor]:
        threshold, mask = pruning._update_mask(pooled(weights, block, pooling))
        return threshold, spread(mask, weights.shape, block)

    # TFMOT has no public way to say which weights belong together.
    pruning._maybe_update_block_mask = masked


def least_sparsity(shape: Sequence[int], target: float, block: Sequence[int] | None = None) -> float:
    """The sparsity to hold a kernel to.

    Args:
        shape: Shape of the kernel.
        target: Share of its weights, or of its blocks, that are to become zero.
        block: Rows and columns of a block; None for single weights.

    Returns:
        The target, or what whole weights or blocks give at least if that misses it by more than
        `invariants.TOLERANCE`.
    """
    if block is None:
        return invariants.reachable(target, math.prod(shape))
    sizes = np.sort(areas(shape, block), axis=None)
    zeros = math.floor(target * sizes.size + 1e-9)
    share = float(sizes[:zeros].sum() / sizes.sum())
    return target if share >= target - invariants.TOLERANCE else share
