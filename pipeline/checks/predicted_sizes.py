"""Predicted sizes and memory against the gate's limits, before hours are spent on a candidate that cannot pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from components.evaluator.judgement import Figure, device_figure, size_figure
from components.evaluator.judging import judge_figure
from components.evaluator.limits import Limits
from components.targets.target import Examined
from pipeline.config.config import Config
from pipeline.config.problem import Problem
from pipeline.explain.explanation import Candidate

# Predictions are this near to the real file: tests/components/tflite_converter/test_size_prediction.py.
# And to its memory: tests/pipeline/explain/test_device.py.
PRECISION = 0.05


def check(config: Config, candidates: Iterable[Candidate]) -> Iterator[Problem]:
    """A problem for each limit that a predicted file misses by more than predictions are off.

    How well a file compresses depends on its weights, so nothing is said about limits on the compressed file.

    Args:
        config: Has the limits.
        candidates: With their predicted sizes.
    """
    gate = config.judged_gate
    for candidate in candidates:
        sizes = candidate.size, candidate.baseline_size
        for section, of, limits in gate.sizes():
            if of == "file":
                yield from _of_candidate(config, candidate.name, size_figure(of), *sizes, section, limits)
        memory = _memory(candidate.device), _memory(candidate.baseline_device)
        packed = candidate.device.flash if candidate.device else None
        flash = candidate.size if packed is None else packed, candidate.baseline_size
        for section, figure, limits in gate.device():
            values = memory if figure == "memory" else flash
            yield from _of_candidate(
                config, candidate.name, device_figure(figure), *values, section, limits
            )


def _memory(found: Examined | None) -> int | None:
    return found.memory.total if found and found.memory else None


def _of_candidate(
    config: Config,
    name: str,
    figure: Figure,
    value: int | None,
    baseline: int | None,
    section: str,
    limits: Limits,
) -> Iterator[Problem]:
    if value is None:
        return
    predicted, *within = (
        judge_figure(figure, limits.bounds(), value * share, baseline, ascending=False, section=section)
        for share in (1, 1 - PRECISION, 1 + PRECISION)
    )
    for judgement, *others in zip(predicted, *within, strict=True):
        if not any(one.met for one in (judgement, *others)):
            yield Problem(
                f"{name} is predicted to miss this limit: {judgement.reason}; change its steps, raise the "
                "limit, or leave the candidate out",
                config.place_of(judgement.key),
            )
