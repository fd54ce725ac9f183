"""Latency of two files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from components.common.models import model_files
from components.measurer import latency
from tests.components.conftest import Step
from tests.conftest import Trained


def test_interval_holds_the_true_ratio_of_noisy_times() -> None:
    random = np.random.default_rng(3)
    load = random.gamma(2.0, 0.2, size=600)  # both halves of a turn meet the same load
    candidate = 0.5 * (1 + load) * random.normal(1, 0.02, 600)
    baseline = 1.0 * (1 + load) * random.normal(1, 0.02, 600)
    low, high = latency.ratio_interval(candidate, baseline, 50, seed=1)
    assert low < 0.5 < high
    assert high - low < 0.05


def test_interval_is_the_same_for_the_same_seed() -> None:
    times = np.random.default_rng(0).random((2, 100)) + 1
    assert latency.ratio_interval(*times, 90, seed=5) == latency.ratio_interval(*times, 90, seed=5)
    assert latency.ratio_interval(*times, 90, seed=5) != latency.ratio_interval(*times, 90, seed=6)


def test_pairs_are_resampled_together() -> None:
    """Times that vary a hundredfold, but in both files alike, have an exact ratio."""
    baseline = np.random.default_rng(1).lognormal(0, 2, size=200)
    low, high = latency.ratio_interval(2 * baseline, baseline, 50, seed=1)
    assert low == pytest.approx(2)
    assert high == pytest.approx(2)


def test_percentiles_are_ordered_milliseconds(
    converted: Callable[..., Step], trained: Trained, mnist_examples: Any
) -> None:
    file = model_files.tflite_file(converted(trained.uri, "float32").uri)
    example = {"image": np.full(784, 100.0, np.float32)}
    measurement = latency.measure(file, file, example, 90, threads=1, repetitions=40, warmup=3, seed=0)
    result = measurement.figures
    for times in (result.candidate, result.baseline):
        assert 1e-4 < times[50] <= times[90] <= times[99] < 1000
    assert result.ratio == pytest.approx(result.candidate[90] / result.baseline[90])
    assert result.ratio_low <= result.ratio_high
    assert (result.percentile, result.threads, result.repetitions) == (90, 1, 40)
    assert result.cpu
    assert result.at("candidate") == np.percentile(measurement.candidate_times, 90)
