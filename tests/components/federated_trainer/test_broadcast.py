"""What the server sends: bytes, and that nothing of its model is lost."""

from __future__ import annotations

import numpy as np

from components.federated_trainer.broadcast import Broadcast
from components.federated_trainer.params import Updates

SIZES = [600, 400]
WHOLE, CHANGE = 4000, 1000 + 2 * 4


def weights_of(rounds: int) -> np.ndarray:
    """A model after some rounds, whose changes become smaller."""
    random = np.random.default_rng(1)
    steps = [random.normal(0, 0.1 / 2**number, 1000) for number in range(rounds + 1)]
    return np.sum(steps, axis=0).astype(np.float32)


def test_without_compression_clients_get_the_weights() -> None:
    found, bytes_ = Broadcast(Updates(), SIZES).send(weights_of(1), ["a", "b"], np.random.default_rng(0))
    assert (found == weights_of(1)).all() and bytes_ == 2 * WHOLE


def test_errors_of_rounding_are_part_of_the_next_change() -> None:
    broadcast, random = Broadcast(Updates(broadcast="int8"), SIZES), np.random.default_rng(0)
    distances = []
    for number in range(8):
        found, bytes_ = broadcast.send(weights_of(number), ["a", "b"], random)
        assert bytes_ == 2 * (CHANGE if number else WHOLE)
        distances.append(np.abs(found - weights_of(number)).max())
    # Within a level of the last change alone, which is 1/127 of its largest value, however many there were.
    last = np.abs(weights_of(7) - weights_of(6)).max() + distances[-2]
    assert distances[0] == 0 and 0 < distances[-1] <= last / 127 * 1.001
    assert distances[-1] < 0.2 * distances[2]


def test_a_client_that_missed_rounds_gets_their_changes_or_the_whole_model() -> None:
    broadcast, random = Broadcast(Updates(broadcast="int8"), SIZES), np.random.default_rng(0)
    found = [
        broadcast.send(weights_of(number), drawn, random)[1]
        for number, drawn in enumerate(["ab", "a", "ab", "c"])
    ]
    assert found == [2 * WHOLE, CHANGE, CHANGE + 2 * CHANGE, WHOLE]
    for number in range(4, 8):
        broadcast.send(weights_of(number), "a", random)
    # Six changes would be longer than the model.
    assert broadcast.send(weights_of(8), "b", random)[1] == WHOLE
