"""Layers of one dimension as those of two: the same outputs, under the same names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tf_keras

from components.quantization_aware_trainer.one_dimensional import expand

layers = tf_keras.layers
VALUES = np.random.default_rng(0).normal(size=(3, 12, 4)).astype(np.float32)


@pytest.mark.parametrize(
    "line",
    [
        {"padding": "same", "activation": "tanh"},
        {"padding": "causal", "dilation_rate": 2},
        {"padding": "valid", "strides": 2, "use_bias": False, "kernel_regularizer": "l2"},
        {"groups": 2},
    ],
)
def test_outputs_and_what_is_said_of_the_kernel_stay(line: dict[str, Any]) -> None:
    x = layers.Input((12, 4), name="x")
    y = layers.Conv1D(6, 3, name="line", **line)(x)
    y = layers.Add(name="sum")([y, layers.MaxPooling1D(3, strides=1, padding="same", name="pool")(y)])
    model = tf_keras.Model(x, layers.GlobalAveragePooling1D(name="mean")(y))
    model.get_layer("line").trainable = False

    flat = expand(model)

    np.testing.assert_allclose(flat(VALUES), model(VALUES), atol=1e-6)
    kinds = {layer.name: type(layer).__name__ for layer in flat.layers}
    assert (kinds["line"], kinds["pool"]) == ("Conv2D", "MaxPooling2D")
    assert {"line_2d", "line_1d", "pool_2d", "pool_1d"} <= set(kinds)
    assert ("line_padding" in kinds) == (line.get("padding") == "causal")
    made = flat.get_layer("line")
    assert not made.trainable and (made.kernel_regularizer is None) == ("kernel_regularizer" not in line)
    assert made.kernel.shape == (3, 1, 4 // line.get("groups", 1), 6)
    assert len(flat.losses) == len(model.losses)


def test_sequential_models_and_outputs() -> None:
    model = tf_keras.Sequential(
        [layers.Conv1D(5, 3, input_shape=(12, 4), name="first"), layers.Conv1D(2, 3, name="last")],
        name="net",
    )

    flat = expand(model)

    np.testing.assert_allclose(flat(VALUES), model(VALUES), atol=1e-6)
    # An output has the name of its layer.
    assert [layer.name for layer in flat.layers] == ["first_2d", "first", "first_1d", "last"]
    assert flat.output_names == model.output_names == ["last"]


def test_a_model_without_them_is_returned_itself() -> None:
    model = tf_keras.Sequential([layers.Dense(2, input_shape=(3,))])
    assert expand(model) is model
