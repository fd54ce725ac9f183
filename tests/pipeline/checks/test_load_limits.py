"""Limits on a model server that no candidate could miss, or that a worse one meets more easily, are refused."""

from __future__ import annotations

from typing import Any

import pytest

from components.evaluator.params import Gate
from pipeline.checks import gate_limits


def refusals(**sections: Any) -> dict[str, str]:
    gate = Gate.model_validate(
        {"accuracy": {"metric": "SparseCategoricalAccuracy", "min": 0.9}, **sections}
    )
    return {problem.key(): problem.message for problem in gate_limits.check(gate, [])}


def test_useful_limits_are_taken() -> None:
    assert refusals(throughput={"min": 100, "min_ratio": 0.9, "max_drop": 50}, p99={"max": 20}) == {}
    assert refusals(p99={"max_ratio": 1.2, "max_drop": 3}) == {}


@pytest.mark.parametrize(
    ("section", "limits", "bound", "message"),
    [
        ("throughput", {"max_ratio": 1.5}, "max_ratio", "a higher throughput is better"),
        ("throughput", {"max": 100}, "max", "write min or max_drop"),
        ("throughput", {"min": 0}, "min", "every candidate would meet min: 0"),
        ("p99", {"min_ratio": 0.5}, "min_ratio", "a worse candidate meets min_ratio more easily"),
        ("p99", {"max": 0}, "max", "no candidate could meet max: 0"),
        ("p99", {"max_drop": -1}, "max_drop", "a drop is not negative"),
    ],
)
def test_limits_that_judge_nothing_are_refused(
    section: str, limits: dict[str, float], bound: str, message: str
) -> None:
    found = refusals(**{section: limits})
    assert found.keys() == {f"gate.{section}.{bound}"}
    assert message in found[f"gate.{section}.{bound}"]
