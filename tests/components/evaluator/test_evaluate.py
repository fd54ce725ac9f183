"""The gate as a whole: the good case, and every way to fail closed."""

from __future__ import annotations

import dataclasses
import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma

from components.common.base.file_hashes import ChangedFile, model_digests
from components.common.base.interruption import Interrupted
from components.common.models import model_files
from components.common.models.model_files import StepRecord
from components.common.tflite import file_types
from components.common.tflite.litert import LiteRTModel
from components.common.tflite.tflm import TFLMModel
from components.evaluator.executor import _Judging
from components.evaluator.judgement import FailureKind, Kind
from components.evaluator.params import Gate
from components.evaluator.verdict import Verdict
from components.measurer import latency
from components.measurer.machine import this_machine
from components.measurer.measured import SliceValue
from components.measurer.measurement import Measurement
from tests.components.conftest import KERNEL_SHAPES, Step, must_keep, stored_kernels
from tests.components.evaluating import evaluate
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
    "gzip_size": {"max": "1 MB"},
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
        assert tuple(written["reasons"]) == verdict.reasons
        assert Verdict.read(self.output / "verdict.json").judgements == verdict.judgements
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
    measured = verdict.measured.accuracy
    assert measured is not None and measured.title == "SparseCategoricalAccuracy"
    right = {}
    for name, uri in (("candidate", judge.candidate), ("baseline", judge.baseline)):
        model = LiteRTModel(model_files.tflite_file(uri))
        outputs = [model.predict({"image": image})["probabilities"] for image in digits.images]
        right[name] = np.argmax(outputs, axis=1) == digits.labels
        assert getattr(measured, name) == pytest.approx(right[name].mean(), abs=1e-7)
        result = tfma.load_eval_result(str(judge.output), model_name=name)
        value = result.get_metrics_for_slice()["SparseCategoricalAccuracy"]["doubleValue"]
        assert value == pytest.approx(right[name].mean(), abs=1e-6)
    assert measured.examples == len(digits.labels)
    for entry in measured.slices:
        (of,) = entry.values
        assert (of.feature, entry.slice) == ("label", f"label={of.value}")
        chosen = digits.labels == int(of.value)
        assert entry.examples == chosen.sum()
        assert entry.candidate == pytest.approx(right["candidate"][chosen].mean(), abs=1e-6)
    size = verdict.measured.bytes("file")
    assert size == Path(model_files.tflite_file(judge.candidate)).stat().st_size
    figures = [j.figure for j in verdict.judgements]
    assert figures[:2] == ["size", "gzip size"]
    packed = gzip.compress(
        Path(model_files.tflite_file(judge.candidate)).read_bytes(), compresslevel=9, mtime=0
    )
    assert (verdict.judgements[1].limit, verdict.judgements[1].value) == (1e6, len(packed))
    types = [j.figure for j in verdict.judgements if j.bound == "type"]
    assert sorted(types) == sorted(
        [
            *(f"weights[{layer}]" for layer in KERNEL_SHAPES),
            "input[image]",
            "output[probabilities]",
            "activations",
            "operators",
        ]
    )
    assert figures.count("p50 latency") == 1 and figures.count("accuracy") == 2
    file = verdict.measured.file
    assert file.inputs == {"image": "int8"} and file.operators["CONV_2D"] == 2
    assert {n: layer.dtype for n, layer in file.layers.items()} == dict.fromkeys(KERNEL_SHAPES, "int8")
    assert file.layers["dense"].unique == len(np.unique(stored_kernels(judge.candidate)["dense"]))
    sliced = [j for j in verdict.judgements if j.slice]
    assert [j.slice[0].value for j in sliced] == [str(digit) for digit in range(10)]
    assert {(j.key, j.metric, j.output) for j in sliced} == {
        ("gate.accuracy.slices.0.min", "SparseCategoricalAccuracy", None)
    }
    assert [j.figure for j in sliced] == [f"accuracy[label={digit}]" for digit in range(10)]
    keys = {
        j.key
        for j in verdict.judgements
        if j.kind in ("size", "gzip_size", "latency") or (not j.slice and j.metric)
    }
    assert keys == {
        "gate.size.max_ratio", "gate.gzip_size.max", "gate.latency.max_ratio", "gate.accuracy.min",
        "gate.accuracy.max_drop",
    }  # fmt: skip


ON_DEVICE = {
    **LIMITS,
    "memory": {"max": "16 kB", "max_ratio": 0.5},
    "flash": {"max": "9 kB"},
    "same_prediction": {"min": 0.97},
}


def test_on_a_microcontroller_figures_are_those_of_tflite_micro(
    judge: Judge, mnist_arrays: dict[str, Digits]
) -> None:
    verdict = judge(gate=Gate.model_validate(ON_DEVICE), runtime="tflite-micro")
    measured, digits = verdict.measured, mnist_arrays["eval"]
    predicted, memory = {}, {}
    for side, uri in (("candidate", judge.candidate), ("baseline", judge.baseline)):
        model = TFLMModel.read(model_files.tflite_file(uri))
        predicted[side] = model.predict_each({"image": digits.images})["probabilities"].argmax(axis=1)
        memory[side] = model.arena()
        right = (predicted[side] == digits.labels).mean()
        assert getattr(measured.accuracy, side) == pytest.approx(right, abs=1e-7)
    litert = LiteRTModel(model_files.tflite_file(judge.candidate)).predict_each({"image": digits.images})
    same = float((litert["probabilities"].argmax(axis=1) == predicted["candidate"]).mean())
    assert measured.device is not None and measured.device.runtime.startswith("TFLite Micro 0.dev")
    assert (measured.device.same_prediction, measured.device.examples) == (same, len(digits.labels))
    assert measured.device.memory == memory
    assert measured.device.flash["candidate"] == measured.bytes("file")
    assert {
        j.key: (j.value, j.met)
        for j in verdict.judgements
        if j.kind in ("memory", "flash", "same_prediction")
    } == {
        "gate.memory.max": (memory["candidate"].total, True),
        "gate.memory.max_ratio": (memory["candidate"].total / memory["baseline"].total, True),
        "gate.flash.max": (measured.bytes("file"), measured.bytes("file") <= 9000),
        "gate.same_prediction.min": (same, True),
    }
    properties = verdict.properties()
    assert properties["memory_bytes"] == memory["candidate"].total
    assert (properties["flash_bytes"], properties["same_prediction"]) == (measured.bytes("file"), same)


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


def test_the_figures_of_latency_follow_from_the_times_that_are_kept(judge: Judge) -> None:
    judge()
    figures = json.loads((judge.output / "verdict.json").read_text(encoding="utf-8"))["measured"]["latency"]
    kept = json.loads((judge.output / "latency.json").read_text(encoding="utf-8"))

    assert sorted(kept) == ["baseline", "candidate", "unit"]
    assert kept["unit"] == "ms"
    for name in ("candidate", "baseline"):
        assert len(kept[name]) == figures["repetitions"] == 20
        assert len(set(kept[name])) > 1  # as measured, not made up from percentiles
        assert figures[name] == {str(p): float(np.percentile(kept[name], p)) for p in (50, 90, 99)}
    candidate, baseline = np.array(kept["candidate"]), np.array(kept["baseline"])
    assert figures["ratio"] == pytest.approx(np.median(candidate) / np.median(baseline))
    low, high = latency.ratio_interval(candidate, baseline, 50, seed=1)
    assert (figures["ratio_low"], figures["ratio_high"]) == (low, high)
    assert sorted(figures) == [
        "baseline", "candidate", "cpu", "percentile", "ratio", "ratio_high", "ratio_low", "repetitions",
        "threads",
    ]  # fmt: skip


def test_any_metric_by_name(judge: Judge, mnist_arrays: dict[str, Digits]) -> None:
    limits = {"accuracy": {"metric": "SparseCategoricalCrossentropy", "max_drop": 0.5}}
    verdict = judge(gate=Gate.model_validate(limits))
    model = LiteRTModel(model_files.tflite_file(judge.baseline))
    digits = mnist_arrays["eval"]
    outputs = np.array([model.predict({"image": image})["probabilities"] for image in digits.images])
    chosen = outputs[np.arange(len(digits.labels)), digits.labels]
    assert verdict.measured.accuracy.baseline == pytest.approx(-np.log(chosen).mean(), rel=1e-4)
    assert verdict.measured.accuracy.higher_is_better is False


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


def lost(candidate: Path | str) -> tuple[list[str], list[str]]:
    """Of the judgements that look into the file alone: figures that do not hold, and all reasons."""
    judging = _Judging(str(candidate), Measurement(this_machine(), {}), Gate.model_validate(LIMITS))
    judging._judge_invariants()
    failed = [j for j in judging._judgements if not j.met]
    return [j.figure for j in failed], [
        *(f.reason for f in judging._failures),
        *(j.reason for j in failed),
    ]


def rounded_down(share: float) -> str:
    return f"{np.floor(share * 1000) / 10:.1f}%"


CANDIDATES = [
    ("trained", "int8"),
    ("pruned", "int8"),
    ("pruned_clustered", "dynamic"),
    ("pruned_clustered", "float16"),
    ("clustered", "int8"),
    ("pruned_clustered", "int8"),
    ("quantization_aware", "int8"),
    ("pruned_quantization_aware", "int8"),
    ("clustered_quantization_aware", "int8"),
    ("pruned_clustered_quantization_aware", "int8"),
]


@pytest.mark.parametrize(("base", "quantization"), CANDIDATES)
def test_what_was_asked_for_holds_in_the_file(
    base: str,
    quantization: str,
    request: pytest.FixtureRequest,
    converted: Callable[..., Step],
) -> None:
    uri = converted(request.getfixturevalue(base).uri, quantization).uri

    assert lost(uri) == ([], [])
    wanted = StepRecord.read(uri).layers
    assert (sorted(wanted) == sorted(KERNEL_SHAPES)) is ("pruned" in base or "clustered" in base)


@pytest.fixture
def candidate(
    request: pytest.FixtureRequest, converted: Callable[..., Step], tmp_path: Path
) -> Callable[..., Path]:
    """A copy of a fixture's model, converted to int8."""

    def copy(base: str, **options: Any) -> Path:
        uri = converted(request.getfixturevalue(base).uri, "int8", **options).uri
        return shutil.copytree(uri, tmp_path / "candidate")

    return copy


def change_kernel(uri: Path, layer: str, change: Callable[[np.ndarray], None]) -> None:
    """Rewrites the TFLite file of an artifact with other weights of a layer."""
    from ai_edge_litert.tools import flatbuffer_utils

    path = model_files.tflite_file(str(uri))
    model = flatbuffer_utils.read_model(path)
    (tensor,) = [
        tensor
        for tensor in model.subgraphs[0].tensors
        if tuple(tensor.shape) == KERNEL_SHAPES[layer] and model.buffers[tensor.buffer].data is not None
    ]
    values = np.array(model.buffers[tensor.buffer].data, np.uint8).view(np.int8).reshape(tensor.shape)
    change(values)
    model.buffers[tensor.buffer].data = values.ravel().view(np.uint8)
    flatbuffer_utils.write_model(model, path)
    np.testing.assert_array_equal(stored_kernels(uri)[layer], values)


def test_zeros_that_were_lost_in_the_file_are_told(candidate: Callable[..., Path]) -> None:
    uri = candidate("pruned_clustered")
    sparsity = np.mean(stored_kernels(uri)["dense"] == 0)

    def revive(values: np.ndarray) -> None:
        """One in a hundred of all weights, with a value that the layer has already."""
        dead = np.flatnonzero(values == 0)[:63]
        values.ravel()[dead] = values.max()

    change_kernel(uri, "dense", revive)
    left = sparsity - 63 / 6272
    assert lost(uri) == (
        ["sparsity[dense]"],
        [f"sparsity of layer dense is {rounded_down(left)} in the file, 80.0% was asked for"],
    )


def test_values_that_were_spread_in_the_file_are_told(candidate: Callable[..., Path]) -> None:
    uri = candidate("clustered_quantization_aware")

    def spread(values: np.ndarray) -> None:
        values.ravel()[:40] = np.arange(-20, 20)

    change_kernel(uri, "probabilities", spread)
    count = len(np.unique(stored_kernels(uri)["probabilities"]))
    assert count >= 40
    assert lost(uri) == (
        ["clusters[probabilities]"],
        [
            f"number of distinct weights of layer probabilities is {count} in the file, at most 16 was asked for"
        ],
    )


def test_a_block_that_lost_its_zeros_is_told(candidate: Callable[..., Path]) -> None:
    uri = candidate("trained")
    record = StepRecord.read(str(uri))
    record.ask("conv2", *must_keep(m_by_n=(2, 4)))
    record.write(str(uri))

    def two_of_four(values: np.ndarray) -> None:
        values[..., [1, 2]] = 0

    change_kernel(uri, "conv2", two_of_four)
    assert lost(uri) == ([], [])

    def but_one(values: np.ndarray) -> None:
        two_of_four(values)
        values[5, 1, 1] = [0, 1, 2, 3]

    change_kernel(uri, "conv2", but_one)
    assert lost(uri) == (
        ["m_by_n[conv2]"],
        [
            "2:4 sparsity of layer conv2 is kept by 98.6% of the blocks in the file, every block was asked for"
        ],
    )  # 71 of 72


def test_scales_per_channel_lose_clusters_of_the_layer(candidate: Callable[..., Path]) -> None:
    uri = candidate("clustered", granularity="per-channel")
    counts = {name: len(np.unique(values)) for name, values in stored_kernels(uri).items()}
    spread = sorted(name for name, count in counts.items() if count > 16)
    assert spread == ["conv1", "conv2"]

    assert lost(uri) == (
        [f"clusters[{name}]" for name in spread],
        [
            f"number of distinct weights of layer {name} is {counts[name]} in the file, at most 16 was asked for"
            for name in spread
        ],
    )


def test_a_layer_that_is_not_in_the_file_is_told(candidate: Callable[..., Path]) -> None:
    uri = candidate("trained")
    record = StepRecord.read(str(uri))
    record.ask("gone", *must_keep(sparsity=0.8))
    record.write(str(uri))

    assert lost(uri) == (
        ["sparsity[gone]"],
        ["sparsity of layer gone was not found in the file, 80.0% was asked for"],
    )


def test_a_file_of_another_type_is_told(
    candidate: Callable[..., Path], converted: Callable[..., Step], trained: Trained
) -> None:
    uri = candidate("trained", io="int8")
    other = model_files.tflite_file(converted(trained.uri, "float32").uri)
    shutil.copy(other, model_files.tflite_file(str(uri)))

    figures, reasons = lost(uri)
    assert sorted(figures) == sorted(
        [*(f"weights[{n}]" for n in KERNEL_SHAPES), "input[image]", "output[probabilities]", "activations"]
    )
    assert "weights of layer conv1 are float32, not int8" in reasons
    assert "input image is float32, not int8" in reasons


@pytest.mark.parametrize("steps", [[], [{"technique": "qat"}], [{"technique": "convert"}]])
def test_a_record_that_does_not_say_how_it_was_converted_fails(
    steps: list[dict[str, Any]], candidate: Callable[..., Path]
) -> None:
    uri = candidate("trained")
    StepRecord(steps=steps).write(str(uri))

    figures, (reason,) = lost(uri)
    assert figures == []
    assert reason == (
        "checking the file's types failed: ValueError: the candidate's record does not say how it was converted"
    )


def test_interruption_passes_through_every_measurement(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise Interrupted

    monkeypatch.setattr(file_types, "check", interrupt)
    with pytest.raises(Interrupted):
        lost(judge.candidate)


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
