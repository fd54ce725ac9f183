"""Predicted file sizes against the gate's limits, before hours are spent on a candidate that cannot pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from components.evaluator.judgement import size_figure
from components.evaluator.judging import judge_figure
from components.evaluator.params import Gate, Limits
from pipeline.config.problem import Problem
from pipeline.explain.explanation import Candidate

# Predictions are this near to the real file; tests/components/tflite_converter/test_size_prediction.py.
PRECISION = 0.05


def check(gate: Gate, candidates: Iterable[Candidate]) -> Iterator[Problem]:
    """A problem for each limit that a predicted file misses by more than predictions are off.

    How well a file compresses depends on its weights, so nothing is said about limits on the compressed file.

    Args:
        gate: The limits.
        candidates: With their predicted sizes.
    """
    for section, of, limits in gate.sizes():
        if of == "file":
            for candidate in candidates:
                yield from _of_candidate(candidate, section, limits)


def _of_candidate(candidate: Candidate, section: str, limits: Limits) -> Iterator[Problem]:
    if candidate.size is None:
        return
    predicted, *within = (
        judge_figure(
            size_figure("file"),
            limits.bounds(),
            candidate.size * share,
            candidate.baseline_size,
            ascending=False,
            section=section,
        )
        for share in (1, 1 - PRECISION, 1 + PRECISION)
    )
    for judgement, *others in zip(predicted, *within, strict=True):
        if not any(one.met for one in (judgement, *others)):
            yield Problem(
                f"{candidate.name} is predicted to miss this limit: {judgement.reason}; change its steps, raise the "
                "limit, or leave the candidate out",
                tuple(judgement.key.split(".")),
            )
