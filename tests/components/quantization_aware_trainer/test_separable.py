"""Separable convolutions are quantized as the two that they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from components.common.models import layer_weights, model_files
from components.common.models.model_definition import ModelDefinition
from components.common.models.model_files import StepRecord
from components.common.tflite import tflite_file
from components.quantization_aware_trainer import separable
from components.quantization_aware_trainer.executor import (
    train_quantization_aware,
)
from components.quantization_aware_trainer.params import QatOptions
from components.tflite_converter.executor import convert
from components.tflite_converter.params import ConvertOptions
from tests.components.conftest import (
    MakeModule,
    make_job,
    run_step,
)
from tests.components.quantization_aware_trainer.stacks import (
    FEATURES,
    layer_of,
    stack,
)

layers = tf_keras.layers


@pytest.mark.parametrize(
    "options",
    [
        {"use_bias": False, "strides": 2, "padding": "same"},
        {"depth_multiplier": 3, "activation": "relu"},
        {"dilation_rate": 2},
    ],
)
@pytest.mark.parametrize("functional", [False, True])
def test_a_separable_convolution_is_the_two_that_it_is(options: dict[str, Any], functional: bool) -> None:
    tf_keras.utils.set_random_seed(2)
    model = stack(layers.SeparableConv2D(5, 3, name="s", **options), layers.ReLU(name="r"))
    if functional:
        x = layers.Input((8, 8, 3))
        model = tf_keras.Model(
            x, layers.Add()([model.get_layer("s")(x), layers.SeparableConv2D(5, 3, **options)(x)])
        )
        model = tf_keras.Model.from_config(model.get_config())
    before = model.get_weights()
    halved = separable.split(model)

    kinds = [type(layer).__name__ for layer in halved.layers]
    assert "SeparableConv2D" not in kinds
    assert type(halved.get_layer("s")) is layers.Conv2D
    assert type(halved.get_layer("s_depthwise")) is layers.DepthwiseConv2D
    np.testing.assert_allclose(
        halved(FEATURES, training=False), model(FEATURES, training=False), rtol=1e-5, atol=1e-6
    )
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert halved.count_params() == model.count_params()


SEPARABLE = """
import tf_keras
def build_model(hparams):
    image = tf_keras.layers.Input((28, 28, 1), name="image")
    y = tf_keras.layers.Conv2D(8, 3, strides=4, activation="relu", name="c")(image)
    y = tf_keras.layers.SeparableConv2D(16, 3, name="s")(y)
    y = tf_keras.layers.ReLU(name="r")(y)
    y = tf_keras.layers.Dense(10, activation="softmax", name="p")(tf_keras.layers.Flatten()(y))
    model = tf_keras.Model(image, y)
    model.compile(tf_keras.optimizers.SGD(0.001), "sparse_categorical_crossentropy")
    return model
"""


def test_zeros_of_a_separable_convolution_are_held_under_its_name(
    make_module: MakeModule, mnist_examples: Any, tmp_path: Path
) -> None:
    from components.pruner.executor import prune
    from components.pruner.params import PruneOptions

    folders = [tmp_path / name for name in ("base", "pruned", "qat")]
    changes = {"definition": ModelDefinition(make_module(SEPARABLE))}
    pruning = PruneOptions(sparsity=0.8, include=["s"], steps=4, batch_size=50, learning_rate=1e-4)
    training = QatOptions(steps=4, batch_size=50, learning_rate=1e-4)
    first = make_job(folders[0], folders[1], pruning, mnist_examples, **changes)
    second = make_job(folders[1], folders[2], training, mnist_examples, **changes)
    tf_keras.utils.set_random_seed(1)
    model_files.save(first.reference_model(), first.base_model, ["image"], StepRecord())
    run_step(prune, first)
    facts = run_step(train_quantization_aware, second)

    before = layer_weights.kernel_of(model_files.load(first.output).get_layer("s")).numpy()
    after = layer_weights.kernel_of(layer_of(model_files.load(second.output), "s")).numpy()
    assert before.shape == after.shape == (1, 1, 8, 16)
    np.testing.assert_array_equal(before == 0, after == 0)
    assert np.any(before != after)
    assert facts["least_layer_sparsity"] == pytest.approx(0.8, abs=0.005)
    path = tmp_path / "file.tflite"
    saved = model_files.serving_dir(second.output)
    path.write_bytes(convert(saved, ConvertOptions(quantization="int8"), True, None))
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    (stored,) = [
        interpreter.get_tensor(detail["index"])
        for detail in interpreter.get_tensor_details()
        if tuple(detail["shape"]) == (16, 1, 1, 8)
    ]
    assert stored.dtype == np.int8
    np.testing.assert_array_equal(stored.reshape(16, 8).T == 0, after[0, 0] == 0)
    found = tflite_file.read(path).layer_kernels(["s"])
    assert [kernel.values.shape for kernel in found["s"]] == [(16, 1, 1, 8)]
