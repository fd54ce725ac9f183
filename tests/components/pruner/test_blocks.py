"""Blocks: whole ones become zero, and of all blocks those with the smallest weights."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow_model_optimization as tfmot
import tf_keras

from components.pruner import blocks
from components.pruner.executor import wrap
from components.pruner.params import PruneOptions
from components.pruner.schedule import Renewals


def cut(kernel: np.ndarray, block: tuple[int, int]) -> list[np.ndarray]:
    """The blocks of a kernel, one after another by rows."""
    rows, columns = block
    return [
        kernel[top : top + rows, left : left + columns]
        for top in range(0, kernel.shape[0], rows)
        for left in range(0, kernel.shape[1], columns)
    ]


@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.parametrize(
    ("shape", "block"),
    [
        pytest.param((8, 8), (4, 4), id="multiples"),
        pytest.param((12, 10), (2, 4), id="ten-outputs-in-fours"),
        pytest.param((9, 6), (4, 4), id="edges-on-both-sides"),
        pytest.param((8, 1), (2, 1), id="one-output"),
        pytest.param((4, 8), (4, 1), id="whole-columns"),
        pytest.param((6, 3), (1, 3), id="whole-rows"),
        pytest.param((6, 3), (2, 5), id="wider-than-the-kernel"),
    ],
)
def test_the_blocks_of_the_smallest_weights_become_zero(
    shape: tuple[int, int], block: tuple[int, int], pooling: str
) -> None:
    values = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    pool = {"avg": np.mean, "max": np.max}[pooling]
    magnitudes = [float(pool(np.abs(part))) for part in cut(values, block)]
    expected = values.copy()
    for index in np.argsort(magnitudes)[: len(magnitudes) // 2]:
        cut(expected, block)[index][:] = 0
    options = PruneOptions(
        sparsity=(len(magnitudes) // 2) / len(magnitudes), schedule="constant", block=block,
        block_pooling=pooling,
    )  # fmt: skip
    model = tf_keras.Sequential([
        tf_keras.layers.Input(shape[:1]),
        tf_keras.layers.Dense(shape[1], use_bias=False, name="d"),
    ])  # fmt: skip
    model.set_weights([values])

    pruned = wrap(model, {"d": options.sparsity}, options, Renewals(1, -1, 1, 1))
    pruned.compile(tf_keras.optimizers.SGD(0.0), "mse", run_eagerly=True)  # no graph for one step
    x, y = np.zeros((2, shape[0])), np.zeros((2, shape[1]))
    pruned.fit(x, y, batch_size=2, verbose=0, callbacks=[tfmot.sparsity.keras.UpdatePruningStep()])

    np.testing.assert_array_equal(pruned.layers[-1].layer.get_weights()[0], expected)


@pytest.mark.parametrize(
    ("shape", "target", "block", "expected"),
    [
        ((8, 8), 0.5, (4, 4), 0.5),
        ((8, 8), 0.7, (4, 4), 0.5),
        ((392, 16), 0.8, (4, 1), 0.8),
        # Of 12 blocks 6 become zero: at least the 4 of 8 weights at the edge, and 2 of 16.
        ((16, 10), 0.5, (4, 4), (4 * 8 + 2 * 16) / 160),
        ((5, 1), 0.5, (2, 1), 1 / 5),
        ((3, 3), 0.8, None, 7 / 9),
        ((40, 9), 0.8, None, 0.8),
    ],
)
def test_the_sparsity_to_hold_a_kernel_to(
    shape: tuple[int, int], target: float, block: tuple[int, int] | None, expected: float
) -> None:
    assert blocks.least_sparsity(shape, target, block) == pytest.approx(expected, abs=1e-12)
