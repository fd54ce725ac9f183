"""The gate as a whole: every way to fail closed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from components.common.base.file_hashes import ChangedFile, model_digests
from components.common.models import model_files
from components.common.models.model_files import StepRecord
from components.common.tflite import file_types
from components.evaluator.judgement import FailureKind, Kind
from components.evaluator.params import Gate
from components.measurer.measured import SliceValue
from tests.components.conftest import Step, must_keep
from tests.components.evaluator.judging import LIMITS, ON_DEVICE, Judge, rounded_down
from tests.conftest import Digits, Trained, to_example, write_examples


def test_a_file_that_tflite_micro_refuses_fails_with_the_operator_and_its_types(
    judge: Judge, converted: Callable[..., Step], trained: Trained
) -> None:
    dynamic = converted(trained.uri, "dynamic").uri
    verdict = judge(candidate=dynamic, gate=Gate.model_validate(ON_DEVICE), runtime="tflite-micro")
    assert not verdict.blessed and verdict.failures[0].kind is FailureKind.CANDIDATE_NOT_LOADED
    assert verdict.reasons[0].startswith(
        "loading the candidate failed: TFLMError: does not load on TFLite Micro: FULLY_CONNECTED: its weights are "
        "int8 and its values float32 (dynamic range)"
    )
    unmet = {j.kind for j in verdict.judgements if j.failure is FailureKind.NOT_MEASURED}
    assert {Kind.MEMORY, Kind.FLASH, Kind.SAME_PREDICTION, Kind.LATENCY, Kind.ACCURACY} <= unmet


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
    record = StepRecord.read(judge.candidate)
    record.ask("dense", *must_keep(sparsity=0.8))
    record.write(judge.candidate)


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
    ("damage", "reason", "kind"),
    [
        pytest.param(
            break_baseline, "loading the baseline failed", "baseline_not_loaded", id="the baseline is missing"
        ),
        *(
            pytest.param(damage, "loading the candidate failed", "candidate_not_loaded", id=what)
            for damage, what in (
                (remove_candidate, "the candidate is missing"),
                (garble_candidate, "the candidate is garbage"),
                (truncate_candidate, "the candidate is cut off"),
            )
        ),
        pytest.param(
            garble_record, "reading the candidate's record failed", "measurement_failed",
            id="what was asked for is unknown",
        ),
        pytest.param(need_another_feature, "'audio'", "measurement_failed", id="a feature is missing"),
        pytest.param(predict_nan, "not finite", "measurement_failed", id="predictions are NaN"),
    ],
)  # fmt: skip
def test_fails_closed(judge: Judge, damage: Callable[[Judge], None], reason: str, kind: str) -> None:
    damage(judge)
    verdict = judge()
    assert not verdict.blessed
    assert any(reason in text for text in verdict.reasons), verdict.reasons
    assert len(set(verdict.failures)) == len(verdict.failures), "though both nodes read the record"
    assert kind in [failure.kind.value for failure in verdict.failures if reason in failure.reason]


@pytest.mark.parametrize("side", ["candidate", "baseline"])
def test_files_that_change_while_they_are_judged_have_no_verdict(
    judge: Judge, side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = Path(getattr(judge, side), "Format-Serving", "labels.txt")
    monkeypatch.setattr(file_types, "check", lambda *_: added.write_text("another") and [])
    with pytest.raises(ChangedFile, match=r"Format-Serving/labels\.txt was added; it changed while it was"):
        judge()
    assert not (judge.output / "verdict.json").exists()

    added.unlink()
    monkeypatch.undo()
    assert judge().judged == model_digests(judge.candidate)


def test_a_slice_that_does_not_exist_and_zeros_that_are_not_there(judge: Judge) -> None:
    claim_sparsity(judge)
    limits = {**LIMITS, "accuracy": {**LIMITS["accuracy"], "slices": [{"by": "writer", "min": 0.1}]}}
    verdict = judge(gate=Gate.model_validate(limits))
    assert not verdict.blessed
    sparsity, accuracy = verdict.reasons
    lost_zeros, no_slice = verdict.missed
    assert (lost_zeros.kind, lost_zeros.aspect, lost_zeros.layer) == (Kind.INVARIANT, "sparsity", "dense")
    assert (lost_zeros.failure, lost_zeros.key) == (FailureKind.BEYOND_LIMIT, "")
    assert (no_slice.slice, no_slice.failure) == (
        (SliceValue("writer", None),),
        FailureKind.NO_SUCH_SLICE,
    )
    assert no_slice.key == "gate.accuracy.slices.0.min"
    zeros = verdict.measured.file.layers["dense"].sparsity
    assert sparsity == f"sparsity of layer dense is {rounded_down(zeros)} in the file, 80.0% was asked for"
    assert "accuracy by writer was not measured" in accuracy
    assert verdict.measured.invariants == {"least_layer_sparsity": pytest.approx(zeros, abs=1e-6)}


def test_without_examples_there_is_no_accuracy(
    judge: Judge, mnist_arrays: dict[str, Digits], tmp_path: Path
) -> None:
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
