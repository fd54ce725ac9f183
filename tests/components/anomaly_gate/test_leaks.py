"""Features that give the label away, through real statistics; and features that only look as if they did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from components.anomaly_gate import contents
from components.anomaly_gate.leaks import Leak
from tests.components.anomaly_gate.splits import Row, batches, findings
from tests.conftest import to_example

KEY = ("train", "copy", "leak")


def rows(count: int, feature: Callable[[int, int], Any], seed: int = 0, amounts: bool = False) -> list[Row]:
    """Rows with noise, a label of three classes, or an amount, and a feature made of (label, index)."""
    random = np.random.default_rng(seed)
    made: list[Row] = []
    for index in range(count):
        label = float(random.normal()) if amounts else int(random.integers(0, 3))
        row: Row = {"noise": [float(random.normal())], "label": [label]}
        value = feature(label, index)
        if value is not None:
            row["copy"] = value
        made.append(row)
    return made


def found_in(feature: Callable[[Any, int], Any], amounts: bool = False, **options: Any) -> dict[Any, Any]:
    train, evaluation = rows(200, feature, 0, amounts), rows(100, feature, 1, amounts)
    # Of the other checks, some look at the same features.
    found = findings(train, evaluation, options, "label", classes=not amounts, perhaps_amounts=amounts)
    return {key: finding for key, finding in found.items() if key[2] == "leak"}


@pytest.mark.parametrize(
    ("feature", "text"),
    [
        (lambda label, _: [label], "it is equal to label 'label' in all 200 examples"),
        (lambda label, _: [float(label)], "it is equal to label 'label' in all 200 examples"),
        (lambda label, _: [f"c{label}"], "each of its 3 values goes with one value of label 'label' and no other"),
        (lambda label, _: [7 - label], "each of its 3 values goes with one value of label 'label' and no other"),
        (lambda label, _: [int(label == i) for i in range(3)], "each of its 3 values goes with"),
        (lambda label, index: [index % 7, 0.5, label], "at position 2, it is equal to label 'label'"),
        (lambda label, _: None if label == 0 else [label * 10], "each of its 3 values goes with one value"),
    ],
    ids=["equal", "as float", "as text", "reversed", "one-hot", "in a vector", "missing for one class"],
)  # fmt: skip
def test_a_feature_that_is_the_label_is_refused(feature: Any, text: str) -> None:
    found = found_in(feature)
    assert set(found) == {KEY}
    assert text in found[KEY].text
    assert found[KEY].state == "refused"
    assert "allow: [{feature: copy, kinds: [leak]}]" in found[KEY].line()


def test_an_amount_that_is_the_label_is_refused() -> None:
    assert "it is equal to label 'label'" in found_in(lambda label, _: [label], amounts=True)[KEY].text


@pytest.mark.parametrize(
    "feature",
    [
        lambda label, index: [label if index else label + 1],
        lambda label, index: [label * 200 + index],
        lambda label, _: [label // 2],
        lambda label, index: [label] * (1 + index % 2),
    ],
    ids=["one exception", "finer than the label", "coarser", "other lengths"],
)
def test_a_feature_that_is_not_the_label_is_not_found(feature: Any) -> None:
    assert found_in(feature) == {}


def test_amounts_that_all_differ_pair_with_anything() -> None:
    assert found_in(lambda _, index: [index + 0.5], amounts=True) == {}


def test_the_finding_can_be_allowed() -> None:
    found = found_in(lambda label, _: [label], allow=[{"feature": "copy", "kinds": ["leak"]}])
    assert found[KEY].state == "allowed"


def leaks_of(examples: list[tuple[Any, dict[str, list[Any]]]], copies: int = 0) -> list[Leak]:
    records = [to_example({**features, "label": [label]}) for label, features in examples * (1 + copies)]
    return list(contents.gather(batches(records), ["label"]).pairings["label"].leaks())


def test_copies_of_examples_are_not_evidence() -> None:
    amounts = [(float(i), {"x": [i * 0.5 + 3]}) for i in range(50)]
    assert leaks_of(amounts, copies=3) == []
    assert leaks_of([(float(i), {"x": [i]}) for i in range(50)], copies=1) == [Leak("x", None, True, 50)]


def test_few_examples_of_a_rare_class_are_chance() -> None:
    """One feature in twenty that is set once is set at the one positive."""
    assert leaks_of([(int(i == 5), {"x": [i == 5], "index": [i]}) for i in range(20)]) == []
    assert leaks_of([(int(i < 6), {"x": [i < 6], "index": [i]}) for i in range(20)]) == [
        Leak("x", None, True, 2)
    ]


def test_one_label_alone_has_no_leak() -> None:
    assert leaks_of([(1, {"x": [1]})] * 100) == []


def test_a_feature_that_comes_late_was_missing_before() -> None:
    late = [(0, {"y": [i]}) for i in range(30)] + [(1, {"x": [4], "y": [i]}) for i in range(30)]
    assert leaks_of(late) == [Leak("x", None, False, 2)]
    assert leaks_of([(1, {"y": [9]}), *late]) == []
