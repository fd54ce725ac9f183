"""Kernels of layers of a Keras model."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras

from components.common.models import layer_weights

layers = tf_keras.layers


def only(model: tf_keras.Model) -> layer_weights.Kernel:
    ((kernel,),) = layer_weights.kernels(model).values()
    return kernel


def built(layer: tf_keras.layers.Layer, shape: tuple[int, ...]) -> tf_keras.Model:
    return tf_keras.Sequential([layers.Input(shape), layer])


def test_kernels_go_by_layer_and_only_layers_with_one_have_any() -> None:
    model = tf_keras.Sequential(
        [layers.Input((4,)), layers.Dense(5, name="a"), layers.Dense(2, name="b"), layers.ReLU(name="c")]
    )
    kernel = np.ones((4, 5))
    kernel[0] = 0
    model.get_layer("a").set_weights([kernel, np.zeros(5)])
    found = layer_weights.kernels(model)

    assert sorted(found) == ["a", "b"]
    assert found["a"][0].sparsity() == 0.25
    assert found["a"][0].values.shape == (5, 4)
    with pytest.raises(ValueError, match="layer 'c' has no kernel"):
        layer_weights.kernel_of(model.get_layer("c"))


@pytest.mark.parametrize(
    ("layer", "shape", "operator", "values", "output_axis"),
    [
        (layers.Dense(5), (3,), "FULLY_CONNECTED", (5, 3), 0),
        (layers.Conv2D(5, (2, 3)), (8, 8, 4), "CONV_2D", (5, 2, 3, 4), 0),
        (layers.Conv1D(5, 2), (8, 4), "CONV_2D", (5, 2, 4), 0),
        (layers.Conv2DTranspose(5, (2, 3)), (8, 8, 4), "TRANSPOSE_CONV", (5, 2, 3, 4), 0),
        (layers.DepthwiseConv2D(3, depth_multiplier=2), (8, 8, 4), "DEPTHWISE_CONV_2D", (1, 3, 3, 8), 3),
        (layers.SeparableConv2D(6, 3), (8, 8, 4), "CONV_2D", (6, 1, 1, 4), 0),
        (layers.Embedding(10, 4), (3,), "GATHER", (10, 4), 1),
    ],
    ids=["Dense", "Conv2D", "Conv1D", "Conv2DTranspose", "DepthwiseConv2D", "SeparableConv2D", "Embedding"],
)
def test_a_kernel_is_laid_out_as_in_a_tflite_file(
    layer: tf_keras.layers.Layer,
    shape: tuple[int, ...],
    operator: str,
    values: tuple[int, ...],
    output_axis: int,
) -> None:
    kernel = only(built(layer, shape))

    assert (kernel.operator, kernel.values.shape, kernel.output_axis) == (operator, values, output_axis)
    stored = layer_weights.kernel_of(layer).numpy()
    assert np.sort(kernel.values.ravel()).tolist() == np.sort(stored.ravel()).tolist()


def test_blocks_lie_along_a_convolutions_input_channels() -> None:
    model = built(layers.Conv2D(3, 2, use_bias=False), (5, 5, 8))
    weights = np.ones((2, 2, 8, 3))
    weights[:, :, [0, 1, 4, 5], :] = 0
    model.set_weights([weights])

    assert only(model).m_by_n(2, 4) == 1.0
    weights[0, 0, 0, 0] = 1
    model.set_weights([weights])
    assert only(model).m_by_n(2, 4) == 1 - 1 / 24
