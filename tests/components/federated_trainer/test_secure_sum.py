"""The sum of masked updates is the sum of updates, exactly."""

from __future__ import annotations

import numpy as np
import pytest

from components.common.training.error import TrainingError
from components.federated_trainer.secure_sum import FixedPoint, Masks, overhead, total_of

CLIENTS = [f"client-{number}" for number in range(5)]


def updates(seed: int = 1) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {name: random.normal(0, 0.3, 400) for name in CLIENTS}


@pytest.mark.parametrize("bits", [32, 16])
@pytest.mark.parametrize("lost", [[], ["client-0"], ["client-2", "client-4"]], ids=len)
def test_the_masked_sum_is_the_plain_sum_also_if_clients_drop_out(bits: int, lost: list[str]) -> None:
    found = updates()
    largest = np.max(np.abs(list(found.values())), axis=0)
    numbers = FixedPoint.fine(5) if bits == 32 else FixedPoint.coarse(largest, 5)
    encoded = {name: numbers.encode(values, np.random.default_rng(2)) for name, values in found.items()}
    masks = Masks(CLIENTS, [7, 3], bits)
    answered = [name for name in CLIENTS if name not in lost]
    sent = {name: masks.mask(name, encoded[name]) for name in answered}
    plain = total_of({name: encoded[name] for name in answered})

    total = masks.unmask(total_of(sent), answered)

    assert total.dtype == plain.dtype and (total == plain).all()
    expected = np.sum([found[name] for name in answered], axis=0)
    assert np.abs(numbers.decode(total) - expected).max() <= len(answered) * np.max(numbers.steps)
    # Before it is unmasked, nothing of it shows.
    assert abs(np.corrcoef(sent["client-1"].astype(float), found["client-1"])[0, 1]) < 0.2
    assert (masks.unmask(total_of(sent), CLIENTS) == plain).mean() < 0.1 or not lost


def test_fractions_are_cut_off_so_that_a_norm_never_grows() -> None:
    values = updates()["client-0"]
    numbers = FixedPoint.fine(5)
    read = numbers.decode(numbers.encode(values))
    assert (np.abs(read) <= np.abs(values)).all() and np.abs(read - values).max() < 2**-22


def test_rounding_to_few_steps_is_right_in_the_mean() -> None:
    values = np.array([0.3 / 127, -0.3 / 127, 1.0, 0.0])
    numbers = FixedPoint.coarse(np.ones(4), 3)
    random = np.random.default_rng(4)
    read = np.mean([numbers.decode(numbers.encode(values, random)) for _ in range(4000)], axis=0)
    assert np.abs(read - values).max() < 4 * 6.3e-5


def test_what_would_wrap_around_is_refused() -> None:
    with pytest.raises(TrainingError, match="which the secure sum cannot hold"):
        FixedPoint.fine(8).encode(np.array([64.1]))
    assert FixedPoint.fine(8).encode(np.array([63.9])).dtype == np.uint32
    with pytest.raises(TrainingError, match="at most 258 clients, and a round has 259"):
        FixedPoint.coarse(np.ones(1), 259)


def test_keys_and_shares_are_counted() -> None:
    # Two keys, 80 bytes for each of 9 others, 32 bytes for each of 10; keys of 9 others and their shares.
    assert overhead(10) == (64 + 720 + 320, 576 + 720)
