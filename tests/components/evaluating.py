"""Measures and judges a candidate as a run's three nodes do, in one folder."""

from __future__ import annotations

import os

from components.common.base.load_options import LoadOptions
from components.common.base.npu_options import Npu
from components.common.base.runtime import LITERT, Runtime
from components.common.data.examples import Examples
from components.evaluator.executor import judge
from components.evaluator.params import Gate
from components.evaluator.verdict import Verdict
from components.measurer.executor import measure
from components.predictor.baseline import predict_baseline


def evaluate(
    candidate: str,
    baseline: str,
    examples: Examples,
    gate: Gate,
    output: str,
    seed: int,
    beam_args: list[str],
    raw_examples: Examples | None = None,
    runtime: Runtime = LITERT,
    npu: Npu | None = None,
    load: LoadOptions | None = None,
) -> Verdict:
    """The verdict on a candidate.

    Args:
        candidate: Folder of its `Model` artifact.
        baseline: Folder of the baseline's.
        examples: The examples.
        gate: The limits, and so what is measured.
        output: Folder for the files of all nodes.
        seed: Seed of the bootstrap.
        beam_args: Beam pipeline options.
        raw_examples: The examples before Transform.
        npu: What the candidate is compiled for.
        load: How a model server is asked.
        runtime: What predictions are made on.
    """
    predictions = os.path.join(output, "baseline")
    os.makedirs(predictions, exist_ok=True)
    features = sorted({name for figure in gate.accuracies() for name in figure.features()})
    predict_baseline(baseline, examples, features, predictions, raw_examples, runtime)
    measure(
        candidate,
        baseline,
        predictions,
        examples,
        gate.measured(),
        output,
        seed,
        beam_args,
        raw_examples,
        runtime,
        npu,
        load,
    )
    return judge(candidate, baseline, output, gate, output)
