"""Every hostile thing in the features, through real statistics: it is found by name, and clean data pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from components.anomaly_gate.finding import allowance
from components.anomaly_gate.validation import AllowanceError
from tests.components.anomaly_gate.splits import Row, findings
from tests.components.anomaly_gate.trips import EVAL, TRAIN, Rows, refused, rows


def test_clean_splits_pass_without_a_word() -> None:
    assert findings(TRAIN, EVAL, label="label") == {}


@pytest.mark.parametrize("value", [[7], [0.0], ["a"], [5, 5, 5], [0.25, 0.25]])
def test_a_feature_that_never_changes(value: list[Any]) -> None:
    found = findings(rows(100, always=value), rows(100, seed=1, always=value))
    assert set(found) == {("train", "always", "constant")}
    assert "allow: [{feature: always, kinds: [constant]}]" in found["train", "always", "constant"].line()


def test_a_vector_is_constant_only_if_all_of_its_values_are_equal() -> None:
    vector = lambda index: [0, 0, index % 2]  # noqa: E731
    assert findings(rows(100, pixels=vector), rows(100, seed=1, pixels=vector)) == {}


def test_a_single_value_that_is_sometimes_missing_is_not_constant() -> None:
    def with_a_tip_at_times(count: int, seed: int) -> Rows:
        made = rows(count, seed)
        for row in made[::2]:
            row["tip"] = [1]
        return made

    assert findings(with_a_tip_at_times(200, 0), with_a_tip_at_times(200, 1)) == {}


def test_a_feature_that_is_hardly_ever_there() -> None:
    train = rows(400)
    for row in train[:3]:
        row["tract"] = [row["seconds"][0]]
    finding = findings(train, EVAL)["train", "tract", "missing"]
    assert (finding.measured, finding.limit, finding.state) == (3 / 400, 0.01, "refused")
    assert finding.line().startswith(
        "feature 'tract' of split 'train': missing: 3 of 400 examples have a value; the smallest share allowed is 0.01"
    )
    evaluation = rows(200, seed=1)
    evaluation[0]["tract"] = [5]
    assert findings(train, evaluation, {"min_present": 0.005}) == {}


def test_identifiers_are_reported_but_not_refused() -> None:
    found = findings(
        rows(200, trip=lambda i: [f"trip-{i}"]), rows(100, 1, trip=lambda i: [f"trip-{i + 200}"])
    )
    assert {key: finding.state for key, finding in found.items() if key[0] == "train"} == {
        ("train", "trip", "id"): "warning"
    }


@pytest.mark.parametrize(
    ("values", "kind", "count"),
    [
        ({0: np.nan, 7: np.nan, 9: np.nan}, "nan", 3),
        ({3: np.inf, 4: -np.inf}, "infinite", 2),
    ],
)
@pytest.mark.parametrize("split", ["train", "eval"])
def test_numbers_that_are_none_are_counted(
    values: dict[int, float], kind: str, count: int, split: str
) -> None:
    splits = {"train": rows(400), "eval": rows(200, seed=1)}
    for index, value in values.items():
        splits[split][index]["fare"] = [float(value)]
    found = findings(splits["train"], splits["eval"], label="label")
    assert set(found) == {(split, "fare", kind)}
    finding = found[split, "fare", kind]
    assert finding.measured == count
    assert f"{count} of {len(splits[split])} values are" in finding.line()


def test_nan_in_a_vector_is_counted_by_value() -> None:
    broken = lambda i: [float(i), np.nan if i < 5 else float(i % 7)]  # noqa: E731
    found = findings(rows(50, pair=broken), rows(50, 1, pair=broken))
    assert found["train", "pair", "nan"].text.startswith("5 of 100 values are not numbers")


def test_a_name_with_a_dot_is_the_name_of_the_feature() -> None:
    widths = lambda i: [[1.5, 0.5, 0.25][i % 3]]  # noqa: E731
    kinds = lambda i: [["a", "b"][i % 2]]  # noqa: E731
    splits = (
        rows(150, **{"petal.width": widths, "kind.of": kinds}),
        rows(90, 1, **{"petal.width": [float("nan")], "kind.of": ["new"]}),
    )
    found = findings(*splits)
    keys = {("eval", "petal.width", "nan"), ("eval", "kind.of", "skew"), ("eval", "kind.of", "unseen")}
    assert refused(found) == keys
    assert found["eval", "petal.width", "nan"].text == "90 of 90 values are not numbers (NaN)"
    allow = [{"feature": name, "kinds": ["nan", "skew", "unseen"]} for name in ("petal.width", "kind.of")]
    assert refused(findings(*splits, {"allow": allow})) == set()


@pytest.mark.parametrize(
    "name", ["fare", "petal.width", "a: b", "0", "1e5", "Löwe", "yes", "it's", '"x"', "~"]
)
def test_what_to_write_is_yaml_of_the_name(name: str) -> None:
    import yaml

    written = yaml.safe_load(allowance(name, "nan"))
    assert written == {"allow": [{"feature": name, "kinds": ["nan"]}]}


def test_splits_that_are_tiny_or_empty() -> None:
    finding = findings(TRAIN, EVAL[:9])["eval", "", "few"]
    assert (finding.measured, finding.limit) == (9, 20)
    assert finding.line() == (
        "the examples of split 'eval': few: there are 9 examples; at least 20 are needed (min_examples); to "
        "allow it, write data.validation.min_examples: 9"
    )
    assert findings(TRAIN, EVAL[:9], {"min_examples": 9}) == {}
    found = findings(TRAIN, [])
    assert set(found) == {("eval", "", "few")}
    assert found["eval", "", "few"].text == "there are no examples"


def test_everything_is_said_at_once_and_each_can_be_allowed() -> None:
    train = rows(400, always=[1])
    evaluation = rows(200, 1, always=[1], payment=lambda i: [["cash", "card", "coin"][i % 3]])
    train[0]["fare"] = [float("nan")]
    evaluation[0]["label"] = [9]
    found = findings(train, evaluation, label="label")
    expected = {
        ("train", "always", "constant"),
        ("train", "fare", "nan"),
        ("eval", "label", "unseen"),
        ("eval", "payment", "unseen"),
        ("eval", "payment", "skew"),
    }
    assert refused(found) == expected
    allow = [
        {"feature": feature, "kinds": [kind for _, other, kind in sorted(expected) if other == feature]}
        for feature in ("always", "fare", "label", "payment")
    ]
    allowed = findings(train, evaluation, {"allow": allow}, label="label")
    assert set(allowed) == expected and {f.state for f in allowed.values()} == {"allowed"}
    one = findings(train, evaluation, {"allow": allow[:1]}, label="label")
    assert refused(one) == expected - {("train", "always", "constant")}


def test_an_unknown_feature_cannot_be_allowed() -> None:
    with pytest.raises(AllowanceError) as refusal:
        findings(TRAIN, EVAL, {"allow": [{"feature": "paymnt", "kinds": ["skew"]}]})
    assert str(refusal.value) == (
        "data.validation.allow[0].feature: 'paymnt' is not a feature of the data; did you mean 'payment'?"
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("train", "evaluation"), [(1000, 1000), (300, 30), (40, 20)])
def test_honest_random_splits_pass(seed: int, train: int, evaluation: int) -> None:
    """Heavy tails, few whole numbers, rare categories, values that are missing: nothing crosses."""
    random = np.random.default_rng(seed)

    def row() -> Row:
        made: Row = {
            "tail": [float(random.pareto(1.0))],
            "hour": [int(random.integers(24))],
            "rare": [int(random.poisson(0.05))],
            "kind": [f"k{min(int(random.geometric(0.3)), 12)}"],
            "label": [int(random.random() < 0.3)],
        }
        if random.random() < 0.3:
            made["company"] = [int(random.zipf(1.5)) % 10**6]
        return made

    found = findings([row() for _ in range(train)], [row() for _ in range(evaluation)], label="label")
    assert {key for key in refused(found) if key[2] != "unseen"} == set()
