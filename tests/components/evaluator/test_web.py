"""The gate for browsers: what is measured in Chromium, and that nothing passes without it."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import numpy as np
import pytest

from components.common.models import model_files
from components.common.tflite.litert import LiteRTModel
from components.common.tflite.litert_js import browser, installation
from components.common.tflite.runtimes import load
from components.evaluator.judgement import FailureKind, Kind
from components.evaluator.params import Gate
from tests.components.conftest import Step
from tests.components.evaluator.judging import LIMITS, Judge
from tests.conftest import Digits, Trained
from tests.servers import web

IN_BROWSER = {**LIMITS, "same_prediction": {"min": 1}, "brotli_size": {"max_ratio": 0.9}}


@pytest.fixture
def fixed(judge: Judge, trained: Trained, converted: Callable[..., Step]) -> Judge:
    """Evaluates int8 against float32, both with a batch of 1."""
    web.need()
    for folder, quantization in ((judge.candidate, "int8"), (judge.baseline, "float32")):
        shutil.rmtree(folder)
        shutil.copytree(converted(trained.uri, quantization, fixed_batch=True).uri, folder)
    return judge


def test_a_candidate_is_judged_by_what_a_browser_computes(
    fixed: Judge, mnist_arrays: dict[str, Digits]
) -> None:
    verdict = fixed(gate=Gate.model_validate(IN_BROWSER), runtime="litert-js")

    assert verdict.blessed, verdict.reasons
    measured, count = verdict.measured, len(mnist_arrays["eval"].labels)
    assert measured.device and measured.latency and measured.size and measured.accuracy
    assert measured.device.runtime == f"LiteRT.js {installation.version()}"
    assert "Chromium" in measured.device.runtime
    assert (measured.device.same_prediction, measured.device.examples) == (1.0, count)
    litert = LiteRTModel(model_files.tflite_file(fixed.candidate))
    images, labels = mnist_arrays["eval"].images, mnist_arrays["eval"].labels
    predicted = litert.predict_each({next(iter(litert.inputs)): images})
    classes = next(iter(predicted.values())).argmax(-1)
    assert measured.accuracy.candidate == pytest.approx(np.mean(classes == np.ravel(labels)), abs=1e-6)
    for side in (measured.size.candidate, measured.size.baseline):
        assert side.brotli is not None and 0 < side.brotli < side.gzip
    assert measured.latency.ratio_low <= measured.latency.ratio <= measured.latency.ratio_high
    assert (measured.latency.repetitions, measured.latency.threads) == (20, 1)
    judged = {
        one.kind: one.value
        for one in verdict.judgements
        if one.kind in (Kind.BROTLI_SIZE, Kind.SAME_PREDICTION)
    }
    ratio = measured.size.candidate.brotli / measured.size.baseline.brotli
    assert judged == {Kind.BROTLI_SIZE: ratio, Kind.SAME_PREDICTION: 1.0}
    assert verdict.properties()["brotli_bytes"] == measured.size.candidate.brotli


@pytest.mark.parametrize(
    "asked", [("float32",), ("float16",), ("dynamic",), ("int8",), ("int8", "uint8")], ids=" ".join
)
def test_a_browser_predicts_as_litert_does(
    asked: tuple[str, ...],
    trained: Trained,
    converted: Callable[..., Step],
    mnist_arrays: dict[str, Digits],
) -> None:
    web.need()
    path = model_files.tflite_file(converted(trained.uri, *asked, fixed_batch=True).uri)
    images = mnist_arrays["eval"].images
    native, in_page = LiteRTModel(path), load(path, "litert-js")
    features = {next(iter(native.inputs)): images}
    (one,), (other,) = (tuple(model.predict_each(features).values()) for model in (native, in_page))
    assert one.shape == other.shape and one.dtype == other.dtype
    assert np.abs(one - other).max() <= (0 if asked[0] == "int8" else 1e-5)


def test_what_does_not_load_in_the_browser_fails(
    fixed: Judge, trained: Trained, converted: Callable[..., Step]
) -> None:
    shutil.rmtree(fixed.candidate)
    shutil.copytree(converted(trained.uri, "int8", "int8", fixed_batch=True).uri, fixed.candidate)
    verdict = fixed(gate=Gate.model_validate(IN_BROWSER), runtime="litert-js")
    assert not verdict.blessed and verdict.failures[0].kind is FailureKind.CANDIDATE_NOT_LOADED
    assert "is int8, and LiteRT.js takes only inputs and outputs" in verdict.reasons[0]


def test_a_browser_that_ends_is_an_error_and_the_next_one_starts(
    trained: Trained, converted: Callable[..., Step]
) -> None:
    web.need()
    path = model_files.tflite_file(converted(trained.uri, "int8", fixed_batch=True).uri)
    load(path, "litert-js")
    running = browser.shared()
    running._process.kill()
    with pytest.raises(browser.LiteRTJsError, match="the browser ended"):
        load(path, "litert-js")
    browser.close()
    assert load(path, "litert-js").inputs
    browser.close()
