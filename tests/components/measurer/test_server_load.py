"""Intervals of a server's ratios: wide if turns differ, and only as wide as the machine's load does not explain."""

from __future__ import annotations

import numpy as np
import pytest

from components.common.serving.load import Load
from components.measurer.server_load import ratio_intervals


def turns(rates: list[float], slowest: float = 1.0) -> list[Load]:
    """A second each; requests take a millisecond, and one in fifty `slowest` milliseconds."""
    times = [np.where(np.arange(int(rate)) % 50 == 0, slowest, 1.0) / 1000 for rate in rates]
    return [Load(list(one), 0, 1.0) for one in times]


def test_what_both_halves_of_a_turn_meet_does_not_widen_the_interval() -> None:
    load = [100.0, 400, 200, 1000, 300, 500, 800, 100, 600, 700]
    throughput, p99 = ratio_intervals(turns([rate / 2 for rate in load], 6), turns(load, 3), seed=1)
    assert (throughput.low, throughput.high) == (pytest.approx(0.5), pytest.approx(0.5))
    assert (p99.low, p99.high) == (pytest.approx(2.0), pytest.approx(2.0))


def test_turns_that_differ_give_a_wide_interval() -> None:
    throughput, _ = ratio_intervals(turns([100.0, 1000] * 5), turns([1000.0, 100] * 5), seed=1)
    assert throughput.low is not None and throughput.high is not None
    assert throughput.low < 0.7 and throughput.high > 1.4
    again, _ = ratio_intervals(turns([100.0, 1000] * 5), turns([1000.0, 100] * 5), seed=1)
    assert again == throughput
