"""Verdicts on figures that are made up, in the classes that the Evaluator writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from components.common.tflite.arena import Arena
from components.evaluator.verdict import Verdict
from components.measurer.comparison import Interval
from components.measurer.measured import Accuracy, Device, Latency, Measured, Size, Sizes
from components.measurer.served_load import MODES, LoadFigures, ModeLoad, ServedLoad


def latency(
    candidate: Mapping[int, float] | float, baseline: float = 1.0, percentile: int = 50, **changes: Any
) -> Latency:
    """Times in milliseconds; of one time, percentiles 90 and 99 are 1.2 and 2 times as long."""

    def times(value: float) -> dict[int, float]:
        return {50: value, 90: value * 1.2, 99: value * 2}

    mine = dict(candidate) if isinstance(candidate, Mapping) else times(candidate)
    ratio = mine.get(percentile, baseline) / times(baseline)[percentile]
    return Latency(
        **{
            "candidate": mine,
            "baseline": times(baseline),
            "percentile": percentile,
            "ratio": ratio,
            "ratio_low": ratio * 0.97,
            "ratio_high": ratio * 1.03,
            "threads": 1,
            "repetitions": 200,
            "cpu": "Some CPU",
            **changes,
        }
    )


BASELINE = Size(1_000_000, 900_000)


def sizes(file: int, gzip: int, baseline: Size = BASELINE) -> Sizes:
    """Bytes of a candidate's file beside the baseline's."""
    return Sizes(Size(file, gzip), baseline)


def device(memory: int, flash: int = 250_000, same: float | None = 0.995, baseline: int = 40_000) -> Device:
    """What a candidate takes on a microcontroller, beside a baseline of 1 MB of flash."""
    arenas = {"candidate": Arena(memory - 1000, 1000), "baseline": Arena(baseline - 1000, 1000)}
    return Device("TFLite Micro 1", arenas, {"candidate": flash, "baseline": 1_000_000}, same, 1200)


def served_load() -> ServedLoad:
    """A candidate that answers 900 requests a second in each mode, beside a baseline that answers 1,000."""
    candidate, baseline = LoadFigures(90, 900, 6.0), LoadFigures(100, 1000, 5.0)
    intervals = Interval(0.85, 0.95), Interval(1.1, 1.3)
    modes = (
        ModeLoad(mode.protocol, mode.batched, candidate, baseline, *intervals, 300, 0) for mode in MODES
    )
    return ServedLoad(8, 2, 32, 64, tuple(modes))


def verdict(
    accuracy: Accuracy | float = 0.9,
    size: Sizes | int = 100,
    gzip: int = 50,
    times: Latency | None = None,
    blessed: bool = True,
    reasons: Iterable[str] = (),
    **measured: Any,
) -> Verdict:
    """A verdict with all figures; `measured` has more of them."""
    if not isinstance(accuracy, Accuracy):
        accuracy = Accuracy("SparseCategoricalAccuracy", True, accuracy, 0.95, 1000)
    if not isinstance(size, Sizes):
        size = sizes(size, gzip)
    figures = Measured(accuracy=accuracy, size=size, latency=times or latency(0.5), **measured)
    return Verdict(blessed, tuple(reasons), (), figures)
