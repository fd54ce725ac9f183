"""How two values are compared, and how a value is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.diff import difference as run_diff
from pipeline.diff.difference import Change
from pipeline.diff.table import value_text
from pipeline.lineage import run_facts


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 2}}, [("a.b", "changed", 1, 2)]),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 1}, {"a": True}, [("a", "changed", 1, True)]),
        ({"a": None}, {}, [("a", "removed", None, None)]),
        ({}, {"a": {"b": {"c": 1}}}, [("a", "added", None, {"b": {"c": 1}})]),
        ({"a": [1, 2]}, {"a": [2, 1]}, [("a", "changed", [1, 2], [2, 1])]),
        ({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 1}, {"b": 3}]}, [("a.1.b", "changed", 2, 3)]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1}, {"b": 2}]}, [("a.1", "added", None, {"b": 2})]),
        ({"a": {"b": 1}}, {"a": None}, [("a", "changed", {"b": 1}, None)]),
        ({"a": []}, {"a": [{"b": 1}]}, [("a.0", "added", None, {"b": 1})]),
    ],
)
def test_values_are_compared_key_by_key(before: Any, after: Any, expected: list[Any]) -> None:
    found = [(c.key, c.kind, c.before, c.after) for c in run_diff.changes(before, after)]
    assert found == expected


def test_json_in_texts_is_decoded_at_every_depth() -> None:
    inner = json.dumps(
        {"params": json.dumps({"epochs": 3}), "text": "{not json", "number": "7", "null": "null"}
    )
    assert run_facts.decoded({"custom_config": inner}) == {
        "custom_config": {"params": {"epochs": 3}, "text": "{not json", "number": "7", "null": "null"}
    }


def test_a_change_is_plain_data() -> None:
    (change,) = run_diff.changes({"a": 1}, {"a": 2}, group="Trainer")
    assert change == Change("Trainer", "a", "changed", 1, 2)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("memory", "4.6 kB"),
        ("flash", "4.6 kB"),
        ("target.ram", "4.6 kB"),
        ("gate.memory.max", "4.6 kB"),
        ("gate.memory.max_ratio", "4592"),
        ("same prediction", "4592"),
    ],
)
def test_figures_of_a_device_have_their_units(key: str, text: str) -> None:
    assert value_text(4592, key) == text
