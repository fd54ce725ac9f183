"""Updates as messages: their bytes, and what error feedback and stochastic rounding keep."""

from __future__ import annotations

import numpy as np
import pytest

from components.federated_trainer import compression
from components.federated_trainer.params import Updates

SIZES = [600, 400]


def update_of(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, sum(SIZES)).astype(np.float32)


def test_int8_takes_a_byte_for_each_value_and_four_for_each_tensor() -> None:
    message = compression.int8(update_of(1), SIZES, np.random.default_rng(2))
    assert message.bytes == 1000 + 2 * 4
    for start, end in ((0, 600), (600, 1000)):
        assert len(np.unique(message.update[start:end])) <= 255
        step = np.abs(update_of(1)[start:end]).max() / 127
        assert np.abs(message.update - update_of(1))[start:end].max() <= step * 1.0001


def test_rounding_is_right_in_the_mean() -> None:
    written = np.array([0.3 / 127, -0.3 / 127, 1.0, 0.0], np.float32)  # 0.3, -0.3, 127 and 0 levels
    random = np.random.default_rng(3)
    read = np.mean([compression.int8(written, [4], random).update for _ in range(4000)], axis=0)
    # One draw is off by up to 1/127; the standard error of the mean is at most 0.5/127/√4000 = 6e-5.
    assert np.abs(read - written).max() < 4 * 6.3e-5
    assert read[3] == 0


def test_error_feedback_conserves_the_sum_of_updates_over_time() -> None:
    options = Updates(compress="top_k", top_k=0.05)
    residual, sent, bytes_ = None, np.zeros(1000), 0
    updates = [update_of(seed) for seed in range(20)]
    for update in updates:
        message, residual = compression.compress(update, SIZES, options, residual, np.random.default_rng(0))
        assert np.count_nonzero(message.update) == 50
        sent += message.update
        bytes_ += message.bytes
    assert residual is not None
    np.testing.assert_allclose(sent + residual, np.sum(updates, axis=0, dtype=np.float64), atol=2e-6)
    assert np.abs(residual).max() > 0.1 and bytes_ == 20 * 50 * 8


def test_no_compression_changes_nothing() -> None:
    message, residual = compression.compress(update_of(4), SIZES, Updates(), None, np.random.default_rng(0))
    assert (message.update == update_of(4)).all() and message.bytes == 4000 and residual is None


@pytest.mark.parametrize("compress", ["none", "int8", "top_k"])
def test_a_server_reads_the_update_from_what_is_sent(compress: str) -> None:
    options = Updates.model_validate({"compress": compress})
    message, _ = compression.compress(update_of(5), SIZES, options, None, np.random.default_rng(1))
    assert (compression.read(message.parts, SIZES, options) == message.update).all()
    assert message.bytes == sum(part.nbytes for part in message.parts)
