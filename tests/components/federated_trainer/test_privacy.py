"""Clipping, noise and epsilon."""

from __future__ import annotations

import math

import dp_accounting
import numpy as np
import pytest
from dp_accounting import pld, rdp

from components.federated_trainer import privacy


def test_epsilon_is_that_of_dp_accounting() -> None:
    event = dp_accounting.PoissonSampledDpEvent(0.25, dp_accounting.GaussianDpEvent(1.5))
    found = privacy.epsilon(1.5, 0.25, 20, 1e-5)
    tight, loose = pld.PLDAccountant(), rdp.RdpAccountant(orders=range(2, 40))
    for accountant in (tight, loose):
        accountant.compose(event, 20)
    assert found == tight.get_epsilon(1e-5)
    # Another method's bound on the same value, which is a little above it.
    assert 0.7 * loose.get_epsilon(1e-5) < found < loose.get_epsilon(1e-5)


def test_without_noise_nothing_is_hidden() -> None:
    assert privacy.epsilon(0.0, 0.1, 5, 1e-5) == math.inf


def test_long_updates_are_shortened_and_others_stay() -> None:
    update = np.array([3.0, 4.0])
    assert privacy.clipped(update, 1.0).tolist() == pytest.approx([0.6, 0.8])
    assert privacy.clipped(update, 5.0) is update


def test_noise_has_the_scale_that_epsilon_is_computed_for() -> None:
    noise = privacy.noise(100_000, 0.5, 1.2, np.random.default_rng(1))
    assert noise.std() == pytest.approx(0.6, rel=0.01) and abs(noise.mean()) < 0.01


def test_clients_are_drawn_independently() -> None:
    random = np.random.default_rng(1)
    names = [f"c{n}" for n in range(10)]
    counts = [len(privacy.sampled(names, 0.3, random)) for _ in range(2000)]
    # Binomial: of a fixed number of clients epsilon would be another.
    assert np.mean(counts) == pytest.approx(3, abs=0.15) and np.var(counts) == pytest.approx(2.1, abs=0.3)
    assert privacy.sampled(names, 1.0, random) == names
