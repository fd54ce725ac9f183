"""Every hostile thing in the data, through real statistics: it is found by name, and clean data pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from components.anomaly_gate.finding import allowance
from components.anomaly_gate.validation import AllowanceError
from tests.components.anomaly_gate.splits import Row, findings

Rows = list[Row]


def rows(count: int, seed: int = 0, **more: Any) -> Rows:
    """Trips: a fare, a way to pay, whole seconds, and a label of three classes; `more` replaces or adds."""
    random = np.random.default_rng(seed)
    made = [
        {
            "fare": [float(random.gamma(2.0, 5.0))],
            "payment": [str(random.choice(["cash", "card", "other"], p=[0.5, 0.4, 0.1]))],
            "seconds": [int(random.integers(60, 3600))],
            "label": [int(random.integers(0, 3))],
        }
        for _ in range(count)
    ]
    for index, row in enumerate(made):
        row.update({name: value(index) if callable(value) else value for name, value in more.items()})
    return made


def refused(found: dict[tuple[str, str, str], Any]) -> set[tuple[str, str, str]]:
    return {key for key, finding in found.items() if finding.state == "refused"}


TRAIN, EVAL = rows(400), rows(200, seed=1)


def test_clean_splits_pass_without_a_word() -> None:
    assert findings(TRAIN, EVAL, label="label") == {}


@pytest.mark.parametrize("value", [[7], [0.0], ["a"], [5, 5, 5], [0.25, 0.25]])
def test_a_feature_that_never_changes(value: list[Any]) -> None:
    found = findings(rows(100, always=value), rows(100, seed=1, always=value))
    assert set(found) == {("train", "always", "constant")}
    assert "allow: [{feature: always, kinds: [constant]}]" in found["train", "always", "constant"].line()


def test_a_vector_is_constant_only_where_all_of_its_values_are_one() -> None:
    vector = lambda index: [0, 0, index % 2]  # noqa: E731
    assert findings(rows(100, pixels=vector), rows(100, seed=1, pixels=vector)) == {}


def test_a_single_value_that_is_not_always_there_tells_something() -> None:
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


def test_identifiers_are_told_but_not_refused() -> None:
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


def test_values_that_eval_alone_misses_are_told_once() -> None:
    evaluation = rows(100, seed=1)
    for row in evaluation[::10]:
        del row["label"], row["fare"]
    found = findings(TRAIN, evaluation, label="label")
    assert refused(found) == {("eval", "label", "missing"), ("eval", "fare", "missing")}


@pytest.mark.parametrize(("value", "kind"), [(-1, "negative"), (-1.0, "negative"), (0.5, "fraction")])
def test_labels_that_are_no_class(value: float, kind: str) -> None:
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
    """SchemaGen infers no domain of whole numbers; of text it does, where there are few."""
    train = rows(200, label=lambda i: [known[i % len(known)]])
    evaluation = rows(100, 1, label=lambda i: [new if i == 50 else known[i % len(known)]])
    found = findings(train, evaluation, {"max_unseen": 1.0}, label="label")
    assert refused(found) == {("eval", "label", "unseen")}, "max_unseen is about features"
    finding = found["eval", "label", "unseen"]
    assert (finding.measured, finding.limit) == (0.01, 0)
    shown = new if isinstance(new, str) else f"{new:g}"
    assert finding.text == f"1 of 100 labels are classes that train does not have: {shown}"


def test_an_unseen_label_among_very_many() -> None:
    """SchemaGen lists no values of a text that has so many."""
    train = rows(1000, label=lambda i: [f"class {i % 500}"])
    evaluation = rows(200, 1, label=lambda i: [f"class {i * 3}"])
    assert ("eval", "label", "unseen") in refused(findings(train, evaluation, label="label"))


def test_amounts_that_train_does_not_have_are_no_finding() -> None:
    price = lambda i: [1000 * i + 17]  # noqa: E731
    even, odd = lambda i: price(2 * i), lambda i: price(2 * i + 1)
    found = findings(rows(200, label=even), rows(200, 1, label=odd), label="label", classes=False)
    assert found == {}


def test_a_class_between_others_that_train_lacks() -> None:
    gap = lambda i: [[0, 1, 4][i % 3]]  # noqa: E731
    found = findings(rows(150, label=gap), rows(90, 1, label=gap), label="label")
    assert refused(found) == {("train", "label", "absent")}
    assert found["train", "label", "absent"].text == (
        "there are classes up to 4, but no example of 2, 3; if those are all, write data.classes: [0, 1, 4]"
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


def test_unseen_categories_beyond_those_that_statistics_list() -> None:
    from tensorflow_metadata.proto.v0 import statistics_pb2

    from components.anomaly_gate.statistics import unseen

    feature = statistics_pb2.FeatureNameStatistics()
    feature.string_stats.common_stats.tot_num_values = 100_000
    for label, count in {"cash": 70_000, **{f"new {i}": 1 for i in range(999)}}.items():
        feature.string_stats.rank_histogram.buckets.add(label=label, sample_count=count)
    share, values = unseen(feature, {"cash"})
    assert share == pytest.approx(0.3) and values[0] == "new 0"


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


def test_unseen_categories_of_a_feature_up_to_a_share() -> None:
    few = rows(200, seed=1)
    few[0]["payment"] = few[1]["payment"] = ["bitcoin"]
    found = findings(TRAIN, few)
    assert {key: f.state for key, f in found.items()} == {("eval", "payment", "unseen"): "tolerated"}
    many = rows(200, 1, payment=lambda i: [["cash", "card", f"new-{i % 8}"][min(i % 40, 2)]])
    finding = findings(TRAIN, many)["eval", "payment", "unseen"]
    assert finding.measured == pytest.approx(0.95) and finding.state == "refused"
    assert finding.text.startswith("95.00% of the values are not in train: new-")
    assert findings(TRAIN, few, {"max_unseen": 0.0})["eval", "payment", "unseen"].state == "refused"


def test_shifted_numbers_are_skew_and_shuffled_ones_are_not() -> None:
    shifted = rows(200, seed=1)
    for row in shifted:
        row["fare"] = [row["fare"][0] + 6.0]
    found = findings(TRAIN, shifted)
    assert refused(found) == {("eval", "fare", "skew")}
    fares = [[row["fare"][0] for row in made] for made in (TRAIN, shifted)]
    both = np.sort(np.concatenate(fares).astype(np.float32))
    by_hand = max(
        abs(np.mean(np.float32(fares[0]) <= x) - np.mean(np.float32(fares[1]) <= x)) for x in both
    )
    assert found["eval", "fare", "skew"].measured == pytest.approx(by_hand, abs=1e-9)
    assert findings(TRAIN, shifted, {"max_skew": None}) == {}


def test_other_shares_of_categories_are_skew() -> None:
    evaluation = rows(200, 1, payment=lambda i: [["cash", "card"][i % 20 > 0]])
    finding = findings(TRAIN, evaluation)["eval", "payment", "skew"]
    share = np.mean([row["payment"] == ["card"] for row in TRAIN])
    assert finding.state == "refused" and finding.measured == pytest.approx(0.95 - share, abs=1e-5)


def test_other_shares_of_classes_are_skew() -> None:
    train = rows(300, label=lambda i: [i % 3])
    evaluation = rows(300, 1, label=lambda i: [[0, 1, 2, 2, 2, 2][i % 6]])
    found = findings(train, evaluation, label="label")
    assert refused(found) == {("eval", "label", "skew")}
    assert found["eval", "label", "skew"].measured == pytest.approx(2 / 3 - 1 / 3)


def test_amounts_that_a_preprocessing_fn_may_make_classes_of_are_compared_as_numbers() -> None:
    tips = lambda i: [i % 97 / 7]  # noqa: E731
    larger = lambda i: [i % 97 / 7 + 5]  # noqa: E731
    options = {"label": "label", "perhaps_amounts": True}
    assert findings(rows(400, label=tips), rows(200, 1, label=tips), **options) == {}
    found = findings(rows(400, label=tips), rows(200, 1, label=larger), **options)
    assert refused(found) == {("eval", "label", "skew")}
    assert "Kolmogorov–Smirnov" in found["eval", "label", "skew"].text


def test_the_worst_position_of_a_short_vector_is_named() -> None:
    def measured(seed: int, shift: float) -> Rows:
        random = np.random.default_rng(seed)
        return [{"x": (random.normal(size=8) + shift * (np.arange(8) == 5)).tolist()} for _ in range(300)]

    found = findings(measured(0, 0.0), measured(1, 1.5))
    assert set(found) == {("eval", "x", "skew")}
    assert "the distribution of the values at position 5 differs" in found["eval", "x", "skew"].text


def test_long_vectors_are_compared_as_a_whole() -> None:
    def images(seed: int, high: int) -> Rows:
        random = np.random.default_rng(seed)
        return [{"image": random.integers(0, high, 100).tolist()} for _ in range(200)]

    assert findings(images(0, 256), images(1, 256)) == {}
    found = findings(images(0, 256), images(1, 100))
    assert set(found) == {("eval", "image", "skew")}
    assert found["eval", "image", "skew"].measured == pytest.approx(1 - 100 / 256, abs=0.03)


def test_features_that_one_split_has_more_often_or_more_of() -> None:
    def tagged(count: int, seed: int, every: int, most: int) -> Rows:
        made = rows(count, seed)
        for index, row in enumerate(made):
            if index % every == 0:
                row["tags"] = [f"t{k}" for k in range(1 + index // every % most)]
        return made

    assert findings(tagged(400, 0, 2, 3), tagged(400, 1, 2, 3)) == {}
    assert refused(findings(tagged(400, 0, 2, 3), tagged(400, 1, 8, 3))) == {("eval", "tags", "presence")}
    found = findings(tagged(400, 0, 2, 3), tagged(400, 1, 2, 1))
    assert ("eval", "tags", "length") in refused(found)
    assert found["eval", "tags", "length"].measured == pytest.approx(2 / 3, abs=0.01)


def test_eval_examples_out_of_train_are_duplicates() -> None:
    evaluation = [*rows(150, seed=1), *({**row, "label": [0]} for row in TRAIN[:50])]
    found = findings(TRAIN, evaluation, label="label")
    assert refused(found) == {("eval", "", "duplicates")}, "whatever label they have"
    finding = found["eval", "", "duplicates"]
    assert finding.measured == 0.25
    assert finding.line().endswith("to allow it, write data.validation.max_duplicates: 0.25")
    assert findings(TRAIN, evaluation, {"max_duplicates": 0.25}, label="label") == {}


def test_rows_of_few_values_repeat_by_nature() -> None:
    def coarse(seed: int) -> Rows:
        random = np.random.default_rng(seed)
        return [{"a": [int(random.integers(3))], "b": [int(random.integers(4))]} for _ in range(200)]

    assert findings(coarse(0), coarse(1)) == {}


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


def test_columns_that_one_split_has_alone() -> None:
    found = findings(TRAIN, rows(100, 1, extra=lambda i: [i]))
    assert refused(found) == {("eval", "extra", "new")}
    dropped = [{k: v for k, v in row.items() if k != "fare"} for row in EVAL]
    assert ("eval", "fare", "missing") in refused(findings(TRAIN, dropped))


def test_other_types_and_shapes_than_train_has() -> None:
    found = findings(TRAIN, rows(100, 1, seconds=lambda i: [f"{i} s"]))
    assert ("eval", "seconds", "type") in refused(found)
    found = findings(TRAIN, rows(100, 1, fare=lambda i: [5.0 + i % 9, 4.0]))
    assert ("eval", "fare", "shape") in refused(found)


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
