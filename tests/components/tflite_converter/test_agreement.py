"""What a conversion says of its file: layers, types, operators, and agreement with the model."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.common.models import model_files
from components.common.tflite.litert import LiteRTModel
from components.tflite_converter import agreement
from tests.components.conftest import Step
from tests.conftest import Digits, Trained


def test_agreement_is_the_difference_of_the_outputs(
    trained: Trained, mnist_examples: Any, mnist_arrays: dict[str, Digits], converted: Callable[..., Step]
) -> None:
    file = model_files.tflite_file(converted(trained.uri, "int8").uri)
    specs = {"image": model_files.InputSpec((28, 28, 1), np.float32)}
    examples = mnist_examples.load("eval", specs).take(range(25))

    keras = tf.saved_model.load(model_files.serving_dir(trained.uri)).signatures["serving_default"]
    found = agreement.measure(keras, file, examples)

    expected = keras(image=tf.constant(examples.features["image"]))["probabilities"].numpy()
    lite = LiteRTModel(file)
    got = np.stack(
        [lite.predict({"image": image})["probabilities"] for image in examples.features["image"]]
    )
    assert found.examples == 25
    assert found.max_error == pytest.approx(np.abs(got - expected).max(), rel=1e-6)
    assert found.mean_error == pytest.approx(np.abs(got - expected).mean(), rel=1e-6)
    assert 0 < found.mean_error < found.max_error < 0.5


def test_a_float_file_agrees_but_for_rounding(trained: Trained, converted: Callable[..., Step]) -> None:
    facts = converted(trained.uri, "float32").facts
    assert facts["runs_on_litert"] == 1
    assert facts["compared_examples"] == 100
    assert facts["max_error"] < 1e-5


def test_facts_of_an_int8_file(trained: Trained, converted: Callable[..., Step]) -> None:
    facts = converted(trained.uri, "int8", "int8").facts
    assert json.loads(facts["inputs"]) == {"image": "int8"}
    assert json.loads(facts["outputs"]) == {"probabilities": "int8"}
    assert json.loads(facts["operators"]) == {
        "CONV_2D": 2,
        "FULLY_CONNECTED": 2,
        "RESHAPE": 1,
        "SOFTMAX": 1,
    }
    assert set(json.loads(facts["activations"])) == {"int8"}
    layers = json.loads(facts["layers"])
    assert {name: layer["weights"] for name, layer in layers.items()} == {
        "conv1": 36,
        "conv2": 288,
        "dense": 6272,
        "probabilities": 160,
    }
    assert {layer["dtype"] for layer in layers.values()} == {"int8"}


def test_figures_of_pruned_layers_are_facts(pruned: Step, converted: Callable[..., Step]) -> None:
    facts = converted(pruned.uri, "int8").facts
    layers = json.loads(facts["layers"])
    assert facts["least_layer_sparsity"] == pytest.approx(
        min(layer["sparsity"] for layer in layers.values()), abs=1e-6
    )
    assert 0.795 <= facts["least_layer_sparsity"] <= 0.85
