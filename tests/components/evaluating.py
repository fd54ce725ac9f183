"""Measures and judges a candidate as a run's two nodes do, in one folder."""

from __future__ import annotations

from components.common.data.examples import Examples
from components.evaluator.executor import judge
from components.evaluator.params import Gate
from components.evaluator.verdict import Verdict
from components.measurer.executor import measure


def evaluate(
    candidate: str,
    baseline: str,
    examples: Examples,
    gate: Gate,
    output: str,
    seed: int,
    beam_args: list[str],
    raw_examples: Examples | None = None,
) -> Verdict:
    """The verdict on a candidate.

    Args:
        candidate: Folder of its `Model` artifact.
        baseline: Folder of the baseline's.
        examples: The examples.
        gate: The limits, and so what is measured.
        output: Folder for the files of both nodes.
        seed: Of the bootstrap.
        beam_args: Beam pipeline options.
        raw_examples: The examples before Transform.
    """
    measure(candidate, baseline, examples, gate.measured(), output, seed, beam_args, raw_examples)
    return judge(candidate, baseline, output, gate, output)
