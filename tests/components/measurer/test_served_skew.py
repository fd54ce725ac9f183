"""What is served against what was trained on: the good case, and everything that can come apart."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.common.models import model_files
from components.common.tflite.litert import LiteRTModel
from components.evaluator.judgement import Kind
from components.evaluator.params import Gate
from components.evaluator.served import FEATURES, FILE, MODEL, judge
from components.evaluator.verdict import Verdict
from components.measurer.measured import Skew
from components.measurer.served_skew import measure, pair
from tests.components.evaluating import evaluate
from tests.components.transformed import Served, Transformed, features_by_numpy, rows, serve

GATE = {
    "accuracy": {
        "metric": "AUC",
        "max_drop": 0.1,
        "allow_weak_baseline": True,  # trained for two epochs
        "slices": [{"by": "kind", "values": ["cash", "card"], "max_drop": 1.0}],
    },
    "latency": {"max_ratio": 1000, "repetitions": 20, "warmup": 2},
}


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Share of pairs in the right order; ties count half."""
    positive, negative = scores[labels == 1], scores[labels == 0]
    differences = positive[:, None] - negative[None, :]
    return float(((differences > 0) + (differences == 0) / 2).mean())


@pytest.fixture
def candidate(served: Served, tmp_path: Path) -> Path:
    """A copy of the int8 candidate that a test may break."""
    shutil.copytree(served.int8, tmp_path / "candidate")
    return tmp_path / "candidate"


def skew_of(candidate: Path, transformed: Transformed) -> Skew:
    return measure(str(candidate), transformed.raw_examples(), transformed.examples())


def failed(skew: Skew | None) -> dict[str, str]:
    return {judgement.figure: judgement.reason for judgement in judge(skew) if not judgement.met}


@pytest.fixture(scope="module")
def verdict(served: Served, transformed: Transformed, tmp_path_factory: Any) -> Verdict:
    return evaluate(
        candidate=str(served.int8),
        baseline=str(served.float32),
        examples=transformed.examples(),
        gate=Gate.model_validate(GATE),
        output=str(tmp_path_factory.mktemp("evaluation")),
        seed=1,
        beam_args=[],
        raw_examples=transformed.raw_examples(),
    )


def test_a_candidate_whose_served_model_agrees_is_blessed(verdict: Verdict) -> None:
    assert verdict.blessed, verdict.reasons
    served = verdict.measured.served
    assert (served.examples, served.differing, served.file_error) == (120, 0, 0.0)
    assert served.predicted + served.rounded == 120
    assert served.predicted > 50
    assert 0 < served.model_error <= served.conversion_error + 1e-5
    assert [j.aspect for j in verdict.judgements if j.kind is Kind.SERVED] == ["features", "file", "model"]


def test_auc_and_slices_by_a_raw_feature_are_numpy_s(verdict: Verdict, served: Served) -> None:
    given = rows("eval")
    labels = np.array([row["tips"] > row.get("amount", 0.0) * 0.2 for row in given], int)
    features = features_by_numpy(given)
    for name, uri in (("candidate", served.int8), ("baseline", served.float32)):
        model = LiteRTModel(model_files.tflite_file(str(uri)))
        scores = np.array(
            [model.predict({n: v[i] for n, v in features.items()})["chance"][0] for i in range(len(given))]
        )
        accuracy = verdict.measured.accuracy
        # TFMA integrates over thresholds, which it interpolates between.
        assert getattr(accuracy, name) == pytest.approx(auc(labels, scores), abs=2e-3)
        slices = {entry.slice: entry for entry in accuracy.slices}
        assert sorted(slices) == ["kind=card", "kind=cash", "kind=cheque", "kind=none"]
        for kind in ("card", "cash", "cheque", "none"):
            chosen = np.array([row.get("kind") == kind for row in given])
            assert slices[f"kind={kind}"].examples == chosen.sum()
            assert getattr(slices[f"kind={kind}"], name) == pytest.approx(
                auc(labels[chosen], scores[chosen]), abs=5e-3
            )


def test_slices_of_the_named_values_alone_are_judged(verdict: Verdict) -> None:
    judged = [(j.figure, j.key) for j in verdict.judgements if j.slice]
    key = "gate.accuracy.slices.0.max_drop"
    assert judged == [("accuracy[kind=card]", key), ("accuracy[kind=cash]", key)]


def test_an_altered_vocabulary_is_caught(candidate: Path, transformed: Transformed) -> None:
    words = candidate / "Format-Serving" / "assets" / "kind"
    first, second, *rest = words.read_text(encoding="utf-8").splitlines()
    words.write_text("\n".join([second, first, *rest]) + "\n", encoding="utf-8")
    skew = skew_of(candidate, transformed)
    kinds = [row.get("kind") for row in rows("eval")]
    assert skew.differing == kinds.count(first) + kinds.count(second)
    reasons = failed(skew)
    assert reasons["served features"] == f"served features {skew.differing} is above 0"
    assert FILE.figure in reasons and skew.file_error > 0


def test_another_model_behind_the_graph_is_caught(
    candidate: Path, transformed: Transformed, tmp_path: Path
) -> None:
    other = serve(transformed, tmp_path / "other", seed=6)
    shutil.copy(candidate / "Format-Serving" / "tflite", other.int8 / "Format-Serving" / "tflite")
    shutil.copy(candidate / "conversion.json", other.int8 / "conversion.json")
    skew = skew_of(other.int8, transformed)
    assert skew.differing == 0 and skew.file_error == 0
    assert list(failed(skew)) == [MODEL.figure]
    assert skew.model_error > 10 * skew.conversion_error


def evaluated(candidate: Path, served: Served, transformed: Transformed, **changes: Any) -> Iterator[str]:
    """Reasons of a verdict whose accuracy is not measured."""
    gate = {"accuracy": {"metric": "AUC"}, "size": {"max_ratio": 10}}
    arguments = {
        "candidate": str(candidate),
        "baseline": str(served.float32),
        "examples": transformed.examples(),
        "gate": Gate.model_validate(gate),
        "output": str(candidate.parent),
        "seed": 1,
        "beam_args": [],
        "raw_examples": transformed.raw_examples(),
        **changes,
    }
    verdict = evaluate(**arguments)
    assert not verdict.blessed
    return iter(verdict.reasons)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("Format-Serving/saved_model.pb", "there is no SavedModel for raw features beside the file"),
        ("conversion.json", "conversion.json"),
    ],
)
def test_what_is_missing_fails_closed(
    file: str, reason: str, candidate: Path, served: Served, transformed: Transformed, monkeypatch: Any
) -> None:
    monkeypatch.setattr("components.measurer.accuracy.analyze", lambda *_: None)
    monkeypatch.setattr("components.measurer.executor.read_baseline", lambda *_: None)
    monkeypatch.setattr("components.measurer.accuracy.read_metrics", lambda *_: {(): (0.5, 1)})
    (candidate / file).unlink()
    reasons = list(evaluated(candidate, served, transformed))
    assert any(r.startswith("comparing with the served model failed: ") and reason in r for r in reasons)
    assert f"{FEATURES.figure} was not measured" in reasons


def test_a_named_slice_that_is_not_there_fails(
    candidate: Path, served: Served, transformed: Transformed, monkeypatch: Any
) -> None:
    monkeypatch.setattr("components.measurer.accuracy.analyze", lambda *_: None)
    monkeypatch.setattr("components.measurer.executor.read_baseline", lambda *_: None)
    found = {(): (0.5, 3), (("kind", "cash"),): (0.5, 2), (("kind", "none"),): (0.4, 1)}
    monkeypatch.setattr("components.measurer.accuracy.read_metrics", lambda *_: found)
    slices = [{"by": "kind", "values": ["cash", "gold"], "min": 0.5}]
    gate = Gate.model_validate({"accuracy": {"metric": "AUC", "slices": slices}})
    assert list(evaluated(candidate, served, transformed, gate=gate)) == [
        "accuracy by kind=gold was not measured: there is no such slice"
    ]


def test_transformed_examples_without_the_raw_ones_fail(
    candidate: Path, served: Served, transformed: Transformed, monkeypatch: Any
) -> None:
    monkeypatch.setattr("components.measurer.accuracy.analyze", lambda *_: None)
    monkeypatch.setattr("components.measurer.executor.read_baseline", lambda *_: None)
    monkeypatch.setattr("components.measurer.accuracy.read_metrics", lambda *_: {(): (0.5, 1)})
    reasons = list(evaluated(candidate, served, transformed, raw_examples=None))
    assert any("the raw ones were not given" in reason for reason in reasons)


def test_examples_that_are_not_a_number_are_not_met() -> None:
    good = Skew(10, 0, 0, 5, 0.0, 0.0, 0.01, 1e-5)
    assert failed(good) == {}
    assert list(failed(dataclasses.replace(good, model_error=float("nan")))) == [MODEL.figure]
    assert list(failed(dataclasses.replace(good, file_error=float("nan")))) == [FILE.figure]
    assert list(failed(dataclasses.replace(good, model_error=0.02))) == [MODEL.figure]
    assert len(failed(None)) == 3


def columns(count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {
        "x": rng.normal(size=(count, 3)).astype(np.float32),
        "words": np.eye(5, dtype=np.float32)[rng.integers(0, 5, count)],
    }


def test_pairs_are_found_in_any_order_and_but_for_last_bits() -> None:
    expected = columns(500)
    order = np.random.default_rng(4).permutation(500)
    served = {name: values[order].copy() for name, values in expected.items()}
    places = np.argsort(order)
    for index in (3, 70, 400):
        served["x"][places[index]] = np.nextafter(served["x"][places[index]], np.float32(np.inf))
    served["words"][places[9]] = np.roll(served["words"][places[9]], 1)
    pairs = pair(served, expected)
    np.testing.assert_array_equal(pairs.served, places)
    assert np.flatnonzero(pairs.kind == 1).tolist() == [3, 70, 400]
    assert np.flatnonzero(pairs.kind == 2).tolist() == [9]


def test_equal_examples_are_each_in_one_pair() -> None:
    expected = {"x": np.repeat(columns(3)["x"], 4, axis=0)}
    pairs = pair({"x": expected["x"][::-1].copy()}, expected)
    assert sorted(pairs.served) == list(range(12)) and not pairs.kind.any()
