"""What options of federated training refuse, and what a training without clients keeps."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from components.federated_trainer.params import BaselineOptions, Federated
from components.trainer.params import TrainOptions

DIVIDED = {"dirichlet": 0.3, "count": 10}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"clients": {}}, "nothing says which client has an example"),
        ({"clients": {"by": "user", "dirichlet": 0.3, "count": 2}}, "by and dirichlet both say"),
        ({"clients": {"dirichlet": 0.3}}, "write e.g. count: 10"),
        ({"clients": {"by": "user", "count": 3}}, "count has no meaning beside by: the values of user"),
        ({"clients_per_round": 11}, r"clients_per_round \(11\) is more than the 10 clients"),
        (
            {"clients_per_round": 4, "min_clients": 5},
            r"min_clients \(5\) is more than the 4 clients of a round",
        ),
        ({"strategy": {"kind": "fedavg", "mu": 0.1}}, "mu has no meaning for fedavg; .*kind: fedprox"),
        (
            {"privacy": {"noise": 0.8}},
            "noise is a multiple of clip, and there is none; write e.g. clip: 1.0",
        ),
        ({"privacy": {}}, "privacy needs clip"),
        ({"secure_sum": True, "clients_per_round": 1}, "secure_sum of one client is that client's update"),
        ({"secure_sum": True, "updates": {"compress": "top_k"}}, "secure_sum masks every value"),
        (
            {"secure_sum": True, "batch_norm": "local"},
            "which secure_sum is against; write batch_norm: average",
        ),
        (
            {"privacy": {"clip": 1.0}, "batch_norm": "local"},
            "without noise in the end; build the model with Group",
        ),
        ({"privacy": {"clip": 1.0}, "batch_norm": "average"}, "become useless by the noise of privacy"),
        ({"updates": {"top_k": 0.1}}, "top_k has no meaning for compress: none"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Federated.model_validate({"clients": DIVIDED, "rounds": 2, **options})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("epochs", 3),
        ("steps", 10),
        ("early_stopping", {}),
        ("learning_rate_schedule", {"kind": "cosine"}),
        ("precision", "mixed_float16"),
        ("distribution", "mirrored"),
    ],
)
def test_options_of_another_training_are_refused_beside_clients(option: str, value: Any) -> None:
    written = {"federated": {"clients": DIVIDED, "rounds": 2}, option: value}
    with pytest.raises(
        ValidationError, match=f"{option} has no meaning beside federated: .*; remove {option}"
    ):
        BaselineOptions.model_validate(written)


def test_a_training_without_clients_has_the_parameters_that_it_had() -> None:
    written = {"batch_size": 7, "stages": [{"epochs": 2}]}
    plain = BaselineOptions.model_validate(written).plain()
    assert type(plain) is TrainOptions
    assert plain.canonical_json() == TrainOptions.model_validate(written).canonical_json()
    assert "federated" not in json.loads(BaselineOptions.model_validate(written).canonical_json())
    assert TrainOptions.from_canonical(plain.canonical_json()) == TrainOptions.model_validate(written)


def test_options_survive_as_a_parameter() -> None:
    options = {
        "clients": DIVIDED,
        "rounds": 2,
        "strategy": {"kind": "fedprox", "mu": 0.1},
        "updates": {"compress": "int8"},
    }
    found = Federated.model_validate(options)
    assert Federated.from_canonical(found.canonical_json()) == found
    by_name = Federated.model_validate({**options, "strategy": "fedadam"})
    assert (by_name.strategy.kind, by_name.strategy.server_rate()) == ("fedadam", 0.01)
