"""The gate as a whole: the good case, and every way to fail closed."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma

from components.common import model_files
from components.common.litert import LiteRTModel
from components.common.model_files import StepRecord
from components.evaluator.executor import evaluate
from components.evaluator.params import Gate
from components.evaluator.verdict import Verdict
from tests.components.conftest import Step
from tests.conftest import Digits, Trained, to_example, write_examples

LIMITS = {
    "accuracy": {
        "metric": "SparseCategoricalAccuracy",
        "min": 0.2,
        "max_drop": 0.5,
        "slices": [{"by": "label", "min": 0.0}],
    },
    "latency": {"max_ratio": 1000, "repetitions": 20, "warmup": 2},
    "size": {"max_ratio": 0.9},
}


class Judge:
    """Evaluates int8 against float32 unless told otherwise."""

    def __init__(self, candidate: str, baseline: str, examples: Any, output: Path):
        self.candidate = candidate
        self.baseline = baseline
        self.examples = examples
        self.output = output

    def __call__(self, **changes: Any) -> Verdict:
        arguments = {
            "candidate": self.candidate,
            "baseline": self.baseline,
            "examples": self.examples,
            "gate": Gate.model_validate(LIMITS),
            **changes,
        }
        verdict = evaluate(**arguments, output=str(self.output), seed=1, beam_args=[])
        written = json.loads((self.output / "verdict.json").read_text(encoding="utf-8"))
        assert written["blessed"] == verdict.blessed
        assert written["reasons"] == verdict.reasons
        return verdict


@pytest.fixture
def judge(converted: Callable[..., Step], trained: Trained, mnist_examples: Any, tmp_path: Path) -> Judge:
    candidate = tmp_path / "candidate"
    shutil.copytree(converted(trained.uri, "int8", "int8").uri, candidate)
    baseline = tmp_path / "baseline"
    shutil.copytree(converted(trained.uri, "float32").uri, baseline)
    return Judge(str(candidate), str(baseline), mnist_examples, tmp_path / "evaluation")


def test_a_good_candidate_is_blessed_on_figures_that_hold(
    judge: Judge, mnist_arrays: dict[str, Digits]
) -> None:
    verdict = judge()
    assert verdict.blessed, verdict.reasons
    digits = mnist_arrays["eval"]
    measured = verdict.measured["accuracy"]
    right = {}
    for name, uri in (("candidate", judge.candidate), ("baseline", judge.baseline)):
        model = LiteRTModel(model_files.tflite_file(uri))
        outputs = [model.predict({"image": image})["probabilities"] for image in digits.images]
        right[name] = np.argmax(outputs, axis=1) == digits.labels
        assert measured[name] == pytest.approx(right[name].mean(), abs=1e-7)
        result = tfma.load_eval_result(str(judge.output), model_name=name)
        value = result.get_metrics_for_slice()["SparseCategoricalAccuracy"]["doubleValue"]
        assert value == pytest.approx(right[name].mean(), abs=1e-6)
    assert measured["examples"] == len(digits.labels)
    for entry in measured["slices"]:
        chosen = digits.labels == int(entry["slice"].removeprefix("label="))
        assert entry["examples"] == chosen.sum()
        assert entry["candidate"] == pytest.approx(right["candidate"][chosen].mean(), abs=1e-6)
    size = verdict.measured["size"]["candidate"]["file"]
    assert size == Path(model_files.tflite_file(judge.candidate)).stat().st_size
    figures = [j.figure for j in verdict.judgements]
    assert figures[:2] == ["size", "p50 latency"]
    assert figures.count("accuracy") == 2
    assert sum(figure.startswith("accuracy[label=") for figure in figures) == 10


def test_any_metric_by_name(judge: Judge, mnist_arrays: dict[str, Digits]) -> None:
    limits = {"accuracy": {"metric": "SparseCategoricalCrossentropy", "max_drop": 0.5}}
    verdict = judge(gate=Gate.model_validate(limits))
    model = LiteRTModel(model_files.tflite_file(judge.baseline))
    digits = mnist_arrays["eval"]
    outputs = np.array([model.predict({"image": image})["probabilities"] for image in digits.images])
    chosen = outputs[np.arange(len(digits.labels)), digits.labels]
    assert verdict.measured["accuracy"]["baseline"] == pytest.approx(-np.log(chosen).mean(), rel=1e-4)
    assert verdict.measured["accuracy"]["higher_is_better"] is False


def break_baseline(judge: Judge) -> None:
    Path(model_files.tflite_file(judge.baseline)).unlink()


def garble_candidate(judge: Judge) -> None:
    Path(model_files.tflite_file(judge.candidate)).write_bytes(b"not a flatbuffer" * 100)


def truncate_candidate(judge: Judge) -> None:
    path = Path(model_files.tflite_file(judge.candidate))
    path.write_bytes(path.read_bytes()[:1500])


def remove_candidate(judge: Judge) -> None:
    Path(model_files.tflite_file(judge.candidate)).unlink()


def claim_sparsity(judge: Judge) -> None:
    dataclasses.replace(StepRecord.read(judge.candidate), sparsity={"dense": 0.8}).write(judge.candidate)


def claim_sparsity_of_no_layer(judge: Judge) -> None:
    dataclasses.replace(StepRecord.read(judge.candidate), sparsity={"gone": 0.8}).write(judge.candidate)


def garble_record(judge: Judge) -> None:
    (Path(judge.candidate) / "optimization.json").write_text('{"steps": [', encoding="utf-8")


def replace_candidate(judge: Judge, output: Callable[[Any], Any], name: str = "image") -> None:
    """Puts a file in the candidate's place that computes `output` of its only input."""
    module = tf.Module()

    def serve(**inputs: Any) -> dict[str, Any]:
        return {"probabilities": output(inputs[name])}

    spec = {name: tf.TensorSpec([None, 28, 28, 1], tf.float32, name=name)}
    function = tf.function(serve).get_concrete_function(**spec)
    folder = judge.output.parent / "saved"
    tf.saved_model.save(module, str(folder), signatures={"serving_default": function})
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    Path(model_files.tflite_file(judge.candidate)).write_bytes(converter.convert())


def first_ten(image: Any) -> Any:
    return tf.reshape(image, [-1, 784])[:, :10]


def need_another_feature(judge: Judge) -> None:
    replace_candidate(judge, first_ten, name="audio")


def predict_nan(judge: Judge) -> None:
    replace_candidate(judge, lambda image: tf.sqrt(first_ten(image) - 1.0))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        pytest.param(break_baseline, "loading the baseline failed", id="the baseline is missing"),
        pytest.param(remove_candidate, "loading the candidate failed", id="the candidate is missing"),
        pytest.param(garble_candidate, "loading the candidate failed", id="the candidate is garbage"),
        pytest.param(truncate_candidate, "loading the candidate failed", id="the candidate is cut off"),
        pytest.param(
            claim_sparsity, "sparsity of layer dense is", id="zeros that were asked for are not there"
        ),
        pytest.param(
            claim_sparsity_of_no_layer,
            "sparsity of layer gone was not found in the file",
            id="a layer that was pruned is not there",
        ),
        pytest.param(
            garble_record, "reading the candidate's record failed", id="what was asked for is unknown"
        ),
        pytest.param(need_another_feature, "'audio'", id="a feature is missing"),
        pytest.param(predict_nan, "not finite", id="predictions are NaN"),
    ],
)
def test_fails_closed(judge: Judge, damage: Callable[[Judge], None], reason: str) -> None:
    damage(judge)
    verdict = judge()
    assert not verdict.blessed
    assert any(reason in text for text in verdict.reasons), verdict.reasons


def test_a_slice_that_does_not_exist_is_not_met(judge: Judge) -> None:
    limits = {**LIMITS, "accuracy": {**LIMITS["accuracy"], "slices": [{"by": "writer", "min": 0.1}]}}
    verdict = judge(gate=Gate.model_validate(limits))
    assert not verdict.blessed
    assert "accuracy by writer was not measured" in verdict.reasons[0]


def test_no_examples_are_no_accuracy(judge: Judge, mnist_arrays: dict[str, Digits], tmp_path: Path) -> None:
    from tests.conftest import MNIST_SCHEMA

    image = mnist_arrays["eval"].images[0]
    folder = write_examples(
        tmp_path / "empty", MNIST_SCHEMA, train=[to_example({"image": image, "label": 1})], eval=[]
    )
    examples = dataclasses.replace(
        judge.examples, uri=str(folder / "examples"), schema_uri=str(folder / "schema")
    )
    verdict = judge(examples=examples)
    assert not verdict.blessed
    assert any(text.startswith("measuring accuracy failed") for text in verdict.reasons)
