"""Evaluations of a converted candidate, with limits that a good one meets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from components.evaluator.params import Gate
from components.evaluator.verdict import Verdict
from tests.components.evaluating import evaluate

LIMITS = {
    "accuracy": {
        "metric": "SparseCategoricalAccuracy",
        "min": 0.2,
        "max_drop": 0.5,
        "slices": [{"by": "label", "min": 0.0}],
    },
    "latency": {"max_ratio": 1000, "repetitions": 20, "warmup": 2},
    "size": {"max_ratio": 0.9},
    "gzip_size": {"max": "1 MB"},
}
ON_DEVICE = {
    **LIMITS,
    "memory": {"max": "16 kB", "max_ratio": 0.5},
    "flash": {"max": "9 kB"},
    "same_prediction": {"min": 0.97},
}


class Judge:
    """Evaluates int8 against float32 by default."""

    def __init__(self, candidate: str, baseline: str, examples: Any, output: Path):
        self.candidate = candidate
        self.baseline = baseline
        self.examples = examples
        self.output = output

    def __call__(self, **changes: Any) -> Verdict:
        arguments = {
            "candidate": self.candidate,
            "baseline": self.baseline,
            "examples": self.examples,
            "gate": Gate.model_validate(LIMITS),
            **changes,
        }
        verdict = evaluate(**arguments, output=str(self.output), seed=1, beam_args=[])
        written = json.loads((self.output / "verdict.json").read_text(encoding="utf-8"))
        assert written["blessed"] == verdict.blessed
        assert tuple(written["reasons"]) == verdict.reasons
        assert Verdict.read(self.output / "verdict.json").judgements == verdict.judgements
        return verdict


def rounded_down(share: float) -> str:
    return f"{np.floor(share * 1000) / 10:.1f}%"
