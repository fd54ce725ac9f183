"""What the server gathers in a round, in the clear and under masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from components.federated_trainer.aggregation import WeightedMean
from components.federated_trainer.gathering import Gathering, Plan
from components.federated_trainer.params import Federated
from components.federated_trainer.secure_sum import overhead

SIZES = [300, 200]
EXAMPLES = {"a": 60, "b": 30, "c": 10}
UPDATES = {
    name: np.random.default_rng(seed).normal(0, 0.05, 500).astype(np.float32)
    for seed, name in enumerate(EXAMPLES)
}


def gathered(lost: str = "", **options: Any) -> tuple[np.ndarray, list[int], Gathering]:
    asked = Federated.model_validate({"clients": {"by": "site"}, "rounds": 1, **options})
    found = Gathering(Plan(EXAMPLES, (1, 2), 3, SIZES), asked)
    sent = [
        found.add(name, update, None, np.random.default_rng(7))[0]
        for name, update in UPDATES.items()
        if name != lost
    ]
    return found.mean(), sent, found


@pytest.mark.parametrize("lost", ["", "b"])
def test_under_masks_the_mean_is_that_of_plain_updates(lost: str) -> None:
    mean = WeightedMean(500)
    for name, update in UPDATES.items():
        if name != lost:
            mean.add(update, EXAMPLES[name])
    plain, sent, found = gathered(lost)
    np.testing.assert_allclose(plain, mean.value(), atol=1e-8)
    assert sent == [2000] * len(sent) and found.bytes_down() == 0

    masked, sent, found = gathered(lost, secure_sum=True)
    assert np.abs(masked - plain).max() < 3 * 2**-22 and np.abs(masked - plain).max() > 0
    up, down = overhead(3)
    assert sent == [2000 + up] * len(sent) and found.bytes_down() == 3 * down


def test_int8_under_masks_takes_two_bytes_for_each_value() -> None:
    plain, _, _ = gathered()
    masked, sent, found = gathered(secure_sum=True, updates={"compress": "int8"})
    step = max(np.abs(update).max() for update in UPDATES.values()) / 127
    assert 0 < np.abs(masked - plain).max() < 2 * step
    up, down = overhead(3)
    assert sent == [1000 + 8 + up] * 3 and found.bytes_down() == 3 * (8 + down)


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("compress", ["none", "int8"])
def test_with_privacy_no_client_moves_the_sum_by_more_than_clip(secure: bool, compress: str) -> None:
    asked = {"secure_sum": secure, "updates": {"compress": compress}, "privacy": {"clip": 0.5}}
    whole, _, _ = gathered(**asked)
    without, _, _ = gathered("c", **asked)
    # Of the sum, as the divisor is the expected number of clients in both.
    moved = float(np.linalg.norm(3 * (whole - without).astype(np.float64)))
    assert 0.9 * 0.5 < moved <= 0.5 * 1.000001


def test_noise_is_added_to_the_sum_once() -> None:
    quiet, _, _ = gathered(privacy={"clip": 0.5})
    loud, _, _ = gathered(privacy={"clip": 0.5, "noise": 2.0})
    assert (loud - quiet).std() == pytest.approx(2.0 * 0.5 / 3, rel=0.1)
    again, _, _ = gathered(privacy={"clip": 0.5, "noise": 2.0})
    assert (again == loud).all()
