"""What the eval split has that the train split does not have, or has in other shares."""

from __future__ import annotations

import numpy as np
import pytest

from tests.components.anomaly_gate.splits import findings
from tests.components.anomaly_gate.trips import EVAL, TRAIN, Rows, refused, rows


def test_values_that_eval_alone_misses_are_reported_once() -> None:
    evaluation = rows(100, seed=1)
    for row in evaluation[::10]:
        del row["label"], row["fare"]
    found = findings(TRAIN, evaluation, label="label")
    assert refused(found) == {("eval", "label", "missing"), ("eval", "fare", "missing")}


def test_unseen_categories_beyond_those_that_statistics_list() -> None:
    from tensorflow_metadata.proto.v0 import statistics_pb2

    from components.anomaly_gate.statistics import unseen

    feature = statistics_pb2.FeatureNameStatistics()
    feature.string_stats.common_stats.tot_num_values = 100_000
    for label, count in {"cash": 70_000, **{f"new {i}": 1 for i in range(999)}}.items():
        feature.string_stats.rank_histogram.buckets.add(label=label, sample_count=count)
    share, values = unseen(feature, {"cash"})
    assert share == pytest.approx(0.3) and values[0] == "new 0"


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
