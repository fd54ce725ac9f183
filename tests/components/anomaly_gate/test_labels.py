"""Labels that are missing, broken or of a class that one split lacks are found by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.components.anomaly_gate.splits import findings
from tests.components.anomaly_gate.trips import refused, rows


def test_nan_and_infinities_in_labels() -> None:
    for value, kind in ((np.nan, "nan"), (np.inf, "infinite")):
        amount = lambda i, value=value: [value if i == 3 else i / 7]  # noqa: E731
        found = findings(
            rows(100, label=lambda i: [i / 7]), rows(100, 1, label=amount), label="label", classes=False
        )
        assert set(found) == {("eval", "label", kind)}
        assert found["eval", "label", kind].measured == 1


def test_labels_that_are_missing_in_both_splits_alike() -> None:
    """SchemaGen takes it for normal that one in ten is missing."""
    splits = [rows(200), rows(100, seed=1)]
    for made in splits:
        for row in made[::10]:
            del row["label"]
    found = findings(*splits, label="label")
    assert refused(found) == {("train", "label", "missing"), ("eval", "label", "missing")}
    assert found["train", "label", "missing"].text == "20 of 200 examples have no label"


@pytest.mark.parametrize(("value", "kind"), [(-1, "negative"), (-1.0, "negative"), (0.5, "fraction")])
def test_labels_that_are_not_a_class(value: float, kind: str) -> None:
    cast = type(value)
    splits = [rows(200), rows(100, seed=1)]
    for made in splits:
        for row in made:
            row["label"] = [cast(row["label"][0])]
    splits[0][5]["label"] = [value]
    found = findings(*splits, label="label")
    assert refused(found) == {("train", "label", kind)}
    assert found["train", "label", kind].line().startswith("feature 'label' of split 'train': ")
    assert f"{value:g}" in found["train", "label", kind].text
    # An amount may be negative, and what preprocessing_fn makes of a number is looked at in training.
    assert findings(*splits, label="label", classes=False) == {}
    assert findings(*splits, label="label", perhaps_amounts=True) == {}


@pytest.mark.parametrize(
    ("known", "new"), [([0, 1, 2], 3), ([0.0, 1.0, 2.0], 3.0), (["cat", "dog"], "cow"), ([0, 1], 7)]
)
def test_a_label_that_only_eval_has(known: list[Any], new: Any) -> None:
    """SchemaGen infers no domain of whole numbers; of text it does, if there are few values."""
    train = rows(200, label=lambda i: [known[i % len(known)]])
    evaluation = rows(100, 1, label=lambda i: [new if i == 50 else known[i % len(known)]])
    found = findings(train, evaluation, {"max_unseen": 1.0}, label="label")
    assert refused(found) == {("eval", "label", "unseen")}, "max_unseen is about features"
    finding = found["eval", "label", "unseen"]
    assert (finding.measured, finding.limit) == (0.01, 0)
    shown = new if isinstance(new, str) else f"{new:g}"
    assert finding.text == f"1 of 100 labels are classes that train does not have: {shown}"


def test_an_unseen_label_among_very_many() -> None:
    """SchemaGen lists no values of a text with that many."""
    train = rows(1000, label=lambda i: [f"class {i % 500}"])
    evaluation = rows(200, 1, label=lambda i: [f"class {i * 3}"])
    assert ("eval", "label", "unseen") in refused(findings(train, evaluation, label="label"))


def test_amounts_that_train_does_not_have_are_not_a_finding() -> None:
    price = lambda i: [1000 * i + 17]  # noqa: E731
    even, odd = lambda i: price(2 * i), lambda i: price(2 * i + 1)
    found = findings(rows(200, label=even), rows(200, 1, label=odd), label="label", classes=False)
    assert found == {}


def test_a_class_between_others_that_train_lacks() -> None:
    gap = lambda i: [[0, 1, 4][i % 3]]  # noqa: E731
    found = findings(rows(150, label=gap), rows(90, 1, label=gap), label="label")
    assert refused(found) == {("train", "label", "absent")}
    assert found["train", "label", "absent"].text == (
        "there are classes up to 4, but no example of 2, 3; if these are all classes, write data.classes: [0, 1, 4]"
    )


def test_a_class_of_the_config_that_train_lacks() -> None:
    pets = lambda i: [["cat", "dog"][i % 2]]  # noqa: E731
    splits = rows(150, label=pets), rows(90, 1, label=pets)
    found = findings(*splits, label="label", names=["cat", "cow", "dog"])
    assert refused(found) == {("train", "label", "absent")}
    assert found["train", "label", "absent"].text.endswith("without an example in train: cow")
    assert findings(*splits, label="label", names=["dog", "cat"]) == {}


@pytest.mark.parametrize("blank", ["", " "])
def test_a_text_label_of_blanks_is_missing(blank: str) -> None:
    pets = lambda i: [["cat", "dog", blank][i % 3]]  # noqa: E731
    found = findings(rows(150, label=pets), rows(90, 1, label=pets), label="label")
    assert refused(found) == {("train", "label", "missing"), ("eval", "label", "missing")}
    assert found["eval", "label", "missing"].text == "30 of 90 labels are empty or blank text"


def test_classes_that_are_made_of_other_values_are_left_to_training() -> None:
    splits = rows(150), rows(90, 1)  # numbers
    words = rows(150, label=lambda i: ["yn"[i % 2]]), rows(90, 1, label=lambda i: ["yn"[i % 2]])
    for made in (splits, words):
        assert findings(*made, label="label", names=["no", "yes"], perhaps_amounts=True) == {}
    found = findings(*words, label="label", names=["n", "x", "y"], perhaps_amounts=True)
    assert refused(found) == {("train", "label", "absent")}
    # Training says of numbers that they have no names.
    assert findings(*splits, label="label", names=["0", "1", "2"]) == {}
