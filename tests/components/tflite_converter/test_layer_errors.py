"""Errors of layers of models with every kind of kernel, with several inputs and outputs, and with a fixed batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.common.base.held_back_limit import HeldBackLimit
from components.common.tflite.tflite_file import SIGNATURE
from components.tflite_converter import repairing
from components.tflite_converter.held_back import HeldBack
from components.tflite_converter.params import ConvertOptions
from components.tflite_converter.repairing import Examined
from tests.components.tflite_converter.conftest import Convertible


def examine(model: Convertible, *limits: HeldBackLimit, **options: Any) -> Examined:
    loaded = tf.saved_model.load(model.folder)
    signature = loaded.signatures[SIGNATURE]
    asked = ConvertOptions(quantization="int8", layer_errors=True, limits=list(limits), **options)
    content = model.convert(quantization="int8", **options)
    held = HeldBack(model.examples, limits, signature, {}, {})
    return repairing.examine_file(model.folder, asked, signature, content, model.examples, held)


@pytest.mark.parametrize(
    "options",
    [{"io": "int8"}, {"fixed_batch": True, "granularity": "per-tensor"}],
    ids=["integers", "fixed batch"],
)
def test_each_layer_that_computes_has_its_error(mixed: Convertible, options: dict[str, Any]) -> None:
    found = examine(
        mixed, HeldBackLimit(metric="MeanAbsoluteError", against="baseline"), **options
    ).sensitivity

    assert {one.layer for one in found.layers} == {"conv", "separable", "dense", "probabilities"}
    assert {one.layer: one.operators for one in found.layers}["probabilities"] == [
        "FULLY_CONNECTED",
        "SOFTMAX",
    ]
    assert (found.in_float, found.higher_is_better, found.examples, found.compared) == (0.0, False, 20, 20)
    for one in found.layers:
        assert 0.1 < one.rmse_scale < 2.5
        assert one.cosine is not None and one.cosine > 0.95
        assert one.value is not None and one.value > 0
    gains = [found.gain(one) or 0 for one in found.layers]
    assert gains == sorted(gains, reverse=True)


def test_a_model_with_several_inputs_and_outputs_is_judged_by_one(several: Convertible) -> None:
    limit = HeldBackLimit(metric="MeanAbsoluteError", against="baseline", output="tip")
    found = examine(several, limit).sensitivity

    assert {"tip", "speed"} <= {one.layer for one in found.layers}
    values = {one.layer: one.value for one in found.layers}
    assert found.in_int8 is not None and values["tip"] is not None
    assert values["tip"] < found.in_int8
    assert values["speed"] == found.in_int8  # which `tip` does not read
    assert np.isfinite([one.rmse_scale for one in found.layers]).all()
