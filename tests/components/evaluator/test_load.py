"""Limits on a model server: each holds in every mode, and one wrong answer is enough."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from components.common.base.load_options import LoadOptions
from components.evaluator import load
from components.evaluator.judgement import FailureKind, Judgement
from components.evaluator.params import Gate
from components.measurer.comparison import Interval
from components.measurer.measurement import Measurement
from components.measurer.served_load import FIGURES, MODES, LoadFigures, ServedLoad
from tests.components.evaluator.judging import LIMITS, Judge
from tests.verdicts import served_load

FOUND = served_load()


def judged(found: ServedLoad | None, **sections: Any) -> list[Judgement]:
    return load.judge(found, Gate.model_validate({**LIMITS, **sections}))


def test_limits_hold_in_every_mode() -> None:
    found = judged(
        FOUND, throughput={"min": 900, "min_ratio": 0.85, "max_drop": 100}, p99={"max": 6, "max_ratio": 1.3}
    )
    assert all(one.met for one in found)
    answers, limits = found[:2], found[2:]
    assert [(one.aspect, one.limit, one.value) for one in answers] == [("REST", 0, 0), ("gRPC", 0, 0)]
    assert len(limits) == 5 * len(MODES)
    keys = ("throughput.min", "throughput.max_drop", "throughput.min_ratio", "p99.max", "p99.max_ratio")
    assert {one.key: one.value for one in limits} == dict(
        zip((f"gate.{key}" for key in keys), (900, 100, 0.85, 6, 1.3), strict=True)
    )


def test_one_mode_that_misses_a_limit_is_named() -> None:
    slow = dataclasses.replace(
        FOUND.modes[3], candidate=LoadFigures(10, 100, 60.0), throughput_interval=Interval(0.08, 0.12)
    )
    found = dataclasses.replace(FOUND, modes=(*FOUND.modes[:3], slow))
    missed = [one for one in judged(found, throughput={"min_ratio": 0.85}, p99={"max": 10}) if not one.met]
    assert [(one.aspect, one.reason) for one in missed] == [
        ("gRPC, batched", "throughput (gRPC, batched) is 0.08 × the baseline's, 0.85 × required"),
        ("gRPC, batched", "p99 (gRPC, batched) 60.00 ms is above 10.00 ms"),
    ]


def test_a_wrong_answer_fails_without_any_limit() -> None:
    wrong = dataclasses.replace(FOUND.modes[0], differing=1)
    found = judged(dataclasses.replace(FOUND, modes=(wrong, *FOUND.modes[1:])))
    assert [(one.aspect, one.value, one.met) for one in found] == [("REST", 1, False), ("gRPC", 0, True)]
    assert found[0].reason == "answers by REST that differ 1 is above 0"


def test_what_was_not_measured_does_not_pass() -> None:
    found = judged(None, throughput={"min_ratio": 0.1})
    assert [one.failure for one in found] == [FailureKind.NOT_MEASURED] * len(MODES)
    only_rest = dataclasses.replace(FOUND, modes=FOUND.modes[:1])
    assert [one.met for one in judged(only_rest)] == [True, False]


@pytest.mark.parametrize("key", ["throughput", "p99"])
def test_limits_that_nothing_can_meet_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"min_ratio \(2\) is above max_ratio \(1\)"):
        judged(None, **{key: {"min_ratio": 2, "max_ratio": 1}})


def test_candidate_and_baseline_are_served_and_judged(judge: Judge) -> None:
    gate = Gate.model_validate({**LIMITS, "throughput": {"min_ratio": 1e-6}, "p99": {"max_ratio": 1e6}})

    verdict = judge(gate=gate, load=LoadOptions(clients=3, seconds=0.1))

    assert verdict.blessed, verdict.reasons
    found = verdict.measured.load
    assert found and found == Measurement.of(str(judge.output)).load
    assert [(mode.protocol, mode.batched) for mode in found.modes] == [
        ("REST", False),
        ("gRPC", False),
        ("REST", True),
        ("gRPC", True),
    ]
    assert (found.clients, found.max_batch, found.examples) == (3, 32, 64)
    for mode in found.modes:
        # All examples of both once, and then the load.
        assert mode.compared == 2 * 64 + mode.candidate.requests + mode.baseline.requests
        assert min(mode.candidate.requests, mode.baseline.requests) >= 3 * 20
        assert mode.differing == 0
        for ends in (mode.throughput_interval, mode.p99_interval):
            assert ends.low is not None and ends.high is not None and 0 < ends.low <= ends.high
    assert {one.aspect for one in verdict.judgements if one.key == "gate.p99.max_ratio"} == {
        mode.title for mode in MODES
    }
    properties = verdict.properties()
    assert {name: properties[name] for name in FIGURES.values()} == found.properties()
    assert properties["throughput_ratio_grpc_batched"] == found.modes[3].throughput_ratio
