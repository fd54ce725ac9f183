"""The ways to split data, and what does not go together."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.config.data_options import Data, Range, Splits
from pipeline.plan.data_nodes import hash_buckets


@pytest.mark.parametrize(
    ("fraction", "train", "held"),
    [(0.2, 4, 1), (0.15, 17, 3), (0.5, 1, 1), (0.001, 999, 1), (0.3333, 6667, 3333)],
)
def test_a_fraction_becomes_hash_buckets(fraction: float, train: int, held: int) -> None:
    config = hash_buckets(Splits(pattern="*", eval_fraction=fraction, hash_by="id"))
    assert config == {
        "split_config": {
            "splits": [{"hash_buckets": train, "name": "train"}, {"hash_buckets": held, "name": "eval"}],
            "partition_feature_name": "id",
        }
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eval_fraction": 0.2}, "eval_fraction splits the files of one pattern, and there is no pattern"),
        (
            {"train": "a", "hash_by": "id"},
            "hash_by splits the files of one pattern, and there is no pattern",
        ),
        (
            {"pattern": "*", "train": "a*", "eval_fraction": 0.2},
            "pattern and train both choose files",
        ),
        ({"pattern": "*"}, "write e.g. eval_fraction: 0.2"),
        ({"pattern": "*", "eval_fraction": 0.0}, "greater than or equal to 0.001"),
        ({"pattern": "*", "eval_fraction": 1.0}, "less than or equal to 0.999"),
    ],
)
def test_splits_that_contradict_themselves_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Splits(**options)


@pytest.mark.parametrize(
    "options",
    [{}, {"latest": 1, "first": 1, "last": 1}, {"first": 1}, {"last": 2}, {"latest": 1, "last": 2}],
)
def test_range_is_one_of_two_forms(options: dict[str, int]) -> None:
    with pytest.raises(
        ValidationError,
        match=r"write either latest, or first and last: \{latest: 1\} or \{first: 1, last: 1\}",
    ):
        Range(**options)


def test_range_that_ends_before_it_begins() -> None:
    with pytest.raises(ValidationError, match="first: 3 is after last: 1"):
        Range(first=3, last=1)


@pytest.mark.parametrize("option", [{"classes": [True, False]}, {"class_weights": {True: 2.0, False: 1.0}}])
def test_classes_that_yaml_reads_as_booleans_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(
        ValidationError, match='has true, a boolean in YAML; write classes in quotes: "true"'
    ):
        Data(path="data", label="label", **option)
