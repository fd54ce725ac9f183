"""Limits on the federated training that all candidates begin with."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from components.common.base.federated_cost import FederatedCost
from components.evaluator import federated
from components.evaluator.judgement import FailureKind
from components.evaluator.judging import conclude
from components.evaluator.params import Gate
from components.evaluator.verdict import Verdict
from components.federated_trainer.record import RECORD_FILE
from tests.components.federated_trainer.test_record import RECORD

ACCURACY = {"accuracy": {"metric": "SparseCategoricalAccuracy"}}


def judged(limits: dict[str, Any]) -> dict[str, tuple[float | None, bool, str]]:
    gate = Gate.model_validate({**ACCURACY, **limits})
    return {one.key: (one.value, one.met, one.reason) for one in federated.judge(RECORD.figures(), gate)}


def test_limits_hold_of_all_rounds_and_of_the_worst_client() -> None:
    assert judged({"traffic": {"max": "3.1 kB"}, "worst_client": {"min": 0.2}}) == {
        "gate.traffic.max": (3100, True, ""),
        "gate.worst_client.min": (0.2, True, ""),
    }
    missed = judged({"traffic": {"max": 3099}, "worst_client": {"min": 0.25}})
    assert [met for _, met, _ in missed.values()] == [False, False]
    assert missed["gate.worst_client.min"][2] == "worst client 0.2 is below 0.25"
    assert missed["gate.traffic.max"][2] == "traffic of federated training 3.1 kB is above 3,099 B"


def test_what_steps_cost_counts_too() -> None:
    cost = FederatedCost(rounds=2, bytes_up=60, bytes_down=40, epsilon=3.5)
    found = dataclasses.replace(RECORD.figures(), epsilon=3.0, steps=cost)
    gate = Gate.model_validate({**ACCURACY, "traffic": {"max": 3199}, "epsilon": {"max": 3.2}})
    assert [(one.value, one.met) for one in federated.judge(found, gate)] == [(3200, False), (3.5, False)]
    verdict = dataclasses.replace(Verdict(True, (), ()), federated=found)
    assert Verdict.from_json(verdict.to_json()) == verdict
    assert verdict.properties()["traffic_bytes"] == 3200


@pytest.mark.parametrize("damaged", [False, True])
def test_what_cannot_be_read_does_not_pass(tmp_path: Path, damaged: bool) -> None:
    if damaged:
        (tmp_path / RECORD_FILE).write_text("[]")
    found, failures = federated.figures_of(str(tmp_path))
    gate = Gate.model_validate({**ACCURACY, "worst_client": {"min": 0.2}})
    judgements = federated.judge(found, gate)
    assert found is None and [one.failure for one in judgements] == [FailureKind.NOT_MEASURED]
    assert [one.kind for one in failures] == ([FailureKind.MEASUREMENT_FAILED] if damaged else [])
    assert not conclude(judgements, failures=failures).blessed


def test_the_figures_are_part_of_the_verdict_and_of_its_properties() -> None:
    verdict = dataclasses.replace(Verdict(True, (), ()), federated=RECORD.figures())
    assert Verdict.from_json(verdict.to_json()) == verdict
    assert (verdict.properties()["traffic_bytes"], verdict.properties()["worst_client"]) == (3100, 0.2)
    assert "federated" not in Verdict(True, (), ()).to_json()
