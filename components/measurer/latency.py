"""Latency of a candidate beside the baseline's, in one process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from components.common.base import exclusive
from components.common.tflite.litert import LiteRTModel
from components.common.tflite.litert_js.model import LiteRTJsModel, time_in_turns
from components.measurer.machine import cpu_name
from components.measurer.measured import PERCENTILES, Latency
from components.measurer.params import CONFIDENCE

_RESAMPLES = 1000


@dataclass(frozen=True)
class Timing:
    """Latency, and the single times that it was computed from.

    Attributes:
        figures: Percentiles and their ratio.
        candidate_times: Milliseconds of each repetition, in order.
        baseline_times: The same; a repetition of both is one turn.
    """

    figures: Latency
    candidate_times: tuple[float, ...]
    baseline_times: tuple[float, ...]

    def samples(self) -> dict[str, Any]:
        """The times as JSON values; the figures can be computed from them again."""
        return {
            "unit": "ms",
            "candidate": list(self.candidate_times),
            "baseline": list(self.baseline_times),
        }


def measure(
    candidate: str,
    baseline: str,
    example: Mapping[str, NDArray[Any]],
    percentile: int,
    threads: int,
    repetitions: int,
    warmup: int,
    seed: int,
) -> Timing:
    """Times both files in turns, so that both meet the same load of the machine, without any from the run itself.

    Args:
        candidate: TFLite file.
        baseline: TFLite file.
        example: Feature → values of the one example that both run on.
        percentile: Percentile of the times, for the ratio.
        threads: Threads of each interpreter.
        repetitions: Timed inferences of each.
        warmup: Inferences of each before those.
        seed: Seed of the bootstrap.

    Raises:
        LiteRTError: If a file does not load or run.
    """
    models = (LiteRTModel(candidate, threads), LiteRTModel(baseline, threads))
    for model in models:
        model.predict(example)
    times = np.empty((2, repetitions))
    with exclusive.section():
        for _ in range(warmup):
            for model in models:
                model.invoke()
        for turn in range(repetitions):
            # Who goes first changes each turn: the first one finds the other's data in the cache.
            for which in (0, 1) if turn % 2 else (1, 0):
                start = time.perf_counter_ns()
                models[which].invoke()
                times[which, turn] = time.perf_counter_ns() - start
    return of_times(times / 1e6, percentile, threads, seed)


def measure_in_browser(
    candidate: str,
    baseline: str,
    example: Mapping[str, NDArray[Any]],
    percentile: int,
    repetitions: int,
    warmup: int,
    seed: int,
) -> Timing:
    """As `measure`, with LiteRT.js in one page.

    Raises:
        LiteRTJsError: If a file does not load or run.
    """
    models = (LiteRTJsModel(candidate), LiteRTJsModel(baseline))
    with exclusive.section():
        times = time_in_turns(models, example, warmup, repetitions)
    return of_times(times, percentile, 1, seed)


def of_times(times: NDArray[Any], percentile: int, threads: int, seed: int) -> Timing:
    """The figures of single times.

    Args:
        times: (2, repetitions) milliseconds of candidate and baseline, in turns.
        percentile: Percentile of the times, for the ratio.
        threads: Threads of each interpreter.
        seed: Seed of the bootstrap.
    """
    low, high = ratio_interval(times[0], times[1], percentile, seed)
    return Timing(
        Latency(
            candidate={p: float(np.percentile(times[0], p)) for p in PERCENTILES},
            baseline={p: float(np.percentile(times[1], p)) for p in PERCENTILES},
            percentile=percentile,
            ratio=float(np.percentile(times[0], percentile) / np.percentile(times[1], percentile)),
            ratio_low=low,
            ratio_high=high,
            threads=threads,
            repetitions=times.shape[1],
            cpu=cpu_name(),
        ),
        candidate_times=tuple(times[0].tolist()),
        baseline_times=tuple(times[1].tolist()),
    )


def ratio_interval(
    candidate: NDArray[Any], baseline: NDArray[Any], percentile: int, seed: int
) -> tuple[float, float]:
    """Bootstrap interval of the ratio of two percentiles, 95 %.

    Args:
        candidate: (repetitions,) times, in turns with `baseline`.
        baseline: Like `candidate`.
        percentile: Percentile of each latency.
        seed: Seed of the resampling.

    Returns:
        The interval's ends. Turns are resampled as pairs, since both halves of one met the same load
        (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13).
    """

    def ratio(c: NDArray[Any], b: NDArray[Any], axis: int = -1) -> NDArray[Any]:
        return np.percentile(c, percentile, axis=axis) / np.percentile(b, percentile, axis=axis)

    interval = stats.bootstrap(
        (candidate, baseline),
        ratio,
        paired=True,
        vectorized=True,
        n_resamples=_RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        random_state=seed,
    ).confidence_interval
    return float(interval.low), float(interval.high)
