"""Options of the `distill` step."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from components.distiller.params import DistillOptions


def test_defaults_are_hintons_distillation() -> None:
    options = DistillOptions()

    assert (options.temperature, options.alpha, options.task) == (4.0, 0.1, "auto")
    assert options.features == {} and options.feature_weight == 1.0
    assert options.slug() == "distill"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"feature_weight": 2.0}, r"feature_weight \(2\) has no effect without features; write features:"),
        ({"feature_weight": 0.0}, r"feature_weight \(0\) has no effect without features"),
        ({"features": {"a": "b"}, "feature_weight": -1.0}, "greater than or equal to 0"),
        ({"features": {"a": 3}}, "valid string"),
        ({"features": ["a"]}, "valid dictionary"),
        ({"task": "binary"}, "'auto', 'multiclass', 'multilabel' or 'regression'"),
        ({"alpha": 1.5}, "less than or equal to 1"),
        ({"temperature": 0.0}, "greater than 0"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DistillOptions(**given)


@pytest.mark.parametrize(
    "given", [{}, {"features": {"a": "b"}}, {"features": {"a": "b"}, "feature_weight": 0.0}]
)
def test_options_can_be_read_back(given: dict[str, Any]) -> None:
    options = DistillOptions(**given)

    assert DistillOptions(**json.loads(options.canonical_json())) == options


def test_features_are_part_of_the_node_id_in_any_order() -> None:
    one = DistillOptions(features={"a": "b", "c": "d"})
    other = DistillOptions(features={"c": "d", "a": "b"})

    assert one.slug() == other.slug() != DistillOptions().slug()
    assert one.slug() != DistillOptions(features={"a": "b", "c": "e"}).slug()
