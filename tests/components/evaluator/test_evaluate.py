"""The gate as a whole: the figures of a good candidate, held against plain NumPy."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow_model_analysis as tfma

from components.common.models import model_files
from components.common.tflite.litert import LiteRTModel
from components.common.tflite.tflm import TFLMModel
from components.evaluator.params import Gate
from components.measurer import latency
from tests.components.conftest import KERNEL_SHAPES, stored_kernels
from tests.components.evaluator.judging import ON_DEVICE, Judge
from tests.conftest import Digits


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
