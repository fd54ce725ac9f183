"""Kernels of each kind of layer: how they are found, and their figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from components.common.models import layer_weights
from components.common.tflite import tflite_file
from tests.components.common.tflite.written_files import (
    file_sparsity,
    kernel_of,
    of_values,
    save,
    sequential,
    set_zeros,
    write,
    write_function,
)

layers = tf_keras.layers


def test_zeros_are_what_stands_for_zero_in_each_channel() -> None:
    values = np.array([[0, 5, 5], [0, 7, 0]], np.int8)

    def sparsity(zero_points: list[int], axis: int) -> float:
        return of_values(values, zero_points=np.array(zero_points), channel_axis=axis).sparsity()

    assert sparsity([0], 0) == 3 / 6
    assert sparsity([5], 0) == 2 / 6
    assert sparsity([5, 7], 0) == 3 / 6
    assert sparsity([0, 7, 5], 1) == (2 + 1 + 1) / 6


def test_distinct_values_are_counted_in_all_and_in_each_output_channel() -> None:
    values = np.array([[1, 1, 2, 2], [3, 3, 3, 3], [4, 5, 6, 4]], np.int8)

    assert of_values(values).unique() == 6
    assert of_values(values).unique_per_channel() == 3
    assert of_values(values, output_axis=1).unique_per_channel() == 3
    assert of_values(values[:2], output_axis=1).unique_per_channel() == 2
    depthwise = np.zeros((1, 2, 2, 3), np.float32)
    depthwise[0, :, :, 1] = [[1, 2], [3, 4]]
    assert of_values(depthwise, "DEPTHWISE_CONV_2D", output_axis=3).unique_per_channel() == 4
    assert of_values(depthwise, "DEPTHWISE_CONV_2D", output_axis=0).unique_per_channel() == 5


def test_blocks_begin_again_for_each_row_and_a_short_one_is_left_out() -> None:
    rows = np.array([[0, 0, 1, 1, 0, 9], [0, 1, 1, 1, 9, 9]], np.float32)

    assert of_values(rows).m_by_n(2, 4) == 1 / 2
    assert of_values(rows).m_by_n(1, 4) == 1.0
    assert of_values(rows).m_by_n(1, 2) == 3 / 6
    assert of_values(rows).m_by_n(1, 8) is None
    # 4 input channels at each of 2 places: the 8 of an output channel are not one row.
    places = np.array([0, 0, 0, 0, 1, 1, 1, 1], np.float32).reshape(1, 2, 1, 4)
    assert of_values(places, "CONV_2D").m_by_n(2, 4) == 1 / 2
    assert of_values(places, "DEPTHWISE_CONV_2D", output_axis=3).m_by_n(2, 4) is None
    # The stored value of zero need not be 0.
    assert of_values(rows, zero_points=np.array([1])).m_by_n(2, 4) == 1.0


@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_what_tfmot_prunes_2_by_4_has_2_zeros_in_every_block(tmp_path: Path, quantization: str) -> None:
    from tensorflow_model_optimization.python.core.sparsity.keras import pruning_utils

    model = sequential(
        layers.Conv2D(6, 3, name="conv"), layers.Flatten(), layers.Dense(4, name="dense"), shape=(5, 5, 8)
    )
    for name in ("conv", "dense"):
        set_zeros(model, name, 0)
    free = tflite_file.read(write(model, tmp_path, quantization))
    assert max(kernel.m_by_n(2, 4) for kernel in free.kernels) < 0.2
    for name in ("conv", "dense"):
        kernel = layer_weights.kernel_of(model.get_layer(name))
        mask = pruning_utils.generate_m_by_n_mask(pruning_utils.weights_rearrange(kernel), (2, 4))
        kernel.assign(kernel * pruning_utils.m_by_n_sparsity_mask_prepare(mask, kernel.shape))

    pruned = tflite_file.read(write(model, tmp_path / "pruned", quantization))
    assert [kernel.layer for kernel in pruned.kernels] == ["conv", "dense"]
    assert [kernel.m_by_n(2, 4) for kernel in pruned.kernels] == [1.0, 1.0]
    assert max(kernel.m_by_n(3, 4) for kernel in pruned.kernels) < 0.2


def two_heads() -> tf_keras.Model:
    x = layers.Input((8,), name="x")
    hidden = layers.Dense(16, activation="relu", name="hidden")(x)
    return tf_keras.Model(x, [layers.Dense(3, name="a")(hidden), layers.Dense(3, name="b")(hidden)])


@pytest.mark.parametrize(
    ("quantization", "io"),
    [("float32", "float32"), ("float16", "float32"), ("int8", "float32"), ("int8", "int8")],
)
def test_layers_that_write_the_models_outputs_are_found(tmp_path: Path, quantization: str, io: str) -> None:
    # Their tensors are called StatefulPartitionedCall:0 and :1.
    model = two_heads()
    set_zeros(model, "a", 0.75)
    set_zeros(model, "b", 0.25)
    path = write(model, tmp_path, quantization, io)

    measured = file_sparsity(path, ["hidden", "a", "b", "nowhere"])
    assert measured["a"] == pytest.approx(0.75, abs=0.021)  # one more may round to zero
    assert measured["b"] == pytest.approx(0.25, abs=0.021)
    assert measured["hidden"] < 0.05
    assert "nowhere" not in measured
    assert {kernel.layer for kernel in tflite_file.read(path).kernels} == {"hidden", "a", "b"}


def test_of_a_separable_convolution_the_pointwise_half_counts(tmp_path: Path) -> None:
    model = sequential(
        layers.SeparableConv2D(8, 3, name="separable"),
        layers.Flatten(),
        layers.Dense(2, name="d"),
        shape=(6, 6, 4),
    )
    set_zeros(model, "separable", 0.5)
    path = write(model, tmp_path)

    assert file_sparsity(path, ["separable"]) == {"separable": 0.5}
    file = tflite_file.read(path)
    (kernel,) = file.layer_kernels(["separable"])["separable"]
    assert kernel.values.shape == (8, 1, 1, 4)
    assert [k.operator for k in file.kernels if k.layer == "separable"] == ["DEPTHWISE_CONV_2D", "CONV_2D"]


def test_a_depthwise_convolution_is_measured_by_its_own_kernel(tmp_path: Path) -> None:
    model = sequential(
        layers.DepthwiseConv2D(3, name="depthwise"), layers.Flatten(), layers.Dense(2), shape=(6, 6, 4)
    )
    set_zeros(model, "depthwise", 0.5)
    path = write(model, tmp_path)

    assert file_sparsity(path, ["depthwise"]) == {"depthwise": 0.5}
    assert kernel_of(tflite_file.read(path), "depthwise").output_axis == 3


def test_an_embedding_is_found(tmp_path: Path) -> None:
    model = sequential(
        layers.Embedding(10, 4, name="embedding"), layers.Flatten(), layers.Dense(2, name="d"), shape=(5,)
    )
    set_zeros(model, "embedding", 0.5)
    path = write(model, tmp_path)

    assert file_sparsity(path, ["embedding"]) == {"embedding": 0.5}
    kernel = kernel_of(tflite_file.read(path), "embedding")
    assert (kernel.operator, kernel.values.shape, kernel.output_axis) == ("GATHER", (10, 4), 1)


def test_other_convolutions_are_laid_out_with_their_output_channels(tmp_path: Path) -> None:
    x = layers.Input((8, 8, 4), name="x")
    y = layers.Conv2DTranspose(6, 3, padding="same", name="transposed")(x)
    y = layers.Reshape((8, 8, 6, 1))(y)
    y = layers.Conv3D(5, 2, name="volume")(y)
    y = layers.Reshape((49, 25))(y)
    y = layers.Conv1D(3, 2, name="line")(y)
    model = tf_keras.Model(x, layers.Dense(2, name="head")(layers.Flatten()(y)))
    for name in ("transposed", "volume", "line"):
        set_zeros(model, name, 0.5)
    file = tflite_file.read(write(model, tmp_path))

    found = {
        kernel.layer: (kernel.operator, kernel.values.shape, kernel.output_axis) for kernel in file.kernels
    }
    assert found["transposed"] == ("TRANSPOSE_CONV", (6, 3, 3, 4), 0)
    assert found["volume"] == ("CONV_3D", (2, 2, 2, 1, 5), 4)
    assert found["line"] == ("CONV_2D", (3, 1, 2, 25), 0)
    for name in ("transposed", "volume", "line"):
        ours = kernel_of(file, name)
        (theirs,) = layer_weights.kernels(model)[name]
        assert ours.unique_per_channel() == theirs.unique_per_channel()
        assert np.array_equal(ours.values.ravel(), theirs.values.ravel())
        # The converter adds the bias of CONV_3D by an operator of its own.
        assert (ours.bias and ours.bias.shape) == {"transposed": (6,), "line": (3,)}.get(name)


def test_recurrent_layers_have_a_kernel_for_each_gate(tmp_path: Path) -> None:
    model = sequential(
        layers.LSTM(6, return_sequences=True, name="lstm"), layers.Dense(2, name="head"), shape=(5, 4)
    )
    concrete = tf.function(lambda x: model(x, training=False)).get_concrete_function(
        tf.TensorSpec([1, 5, 4], tf.float32)
    )
    path = save(tf.lite.TFLiteConverter.from_concrete_functions([concrete], model).convert(), tmp_path)
    file = tflite_file.read(path)
    gates = [kernel for kernel in file.kernels if kernel.operator == "UNIDIRECTIONAL_SEQUENCE_LSTM"]

    assert [kernel.values.shape for kernel in gates] == [(6, 4)] * 4 + [(6, 6)] * 4
    # Keras holds the four side by side, input channels first.
    kernel, recurrent, _ = (weight.numpy() for weight in model.get_layer("lstm").weights)
    assert np.array_equal(np.concatenate([k.values for k in gates[:4]]), kernel.T)
    assert np.array_equal(np.concatenate([k.values for k in gates[4:]]), recurrent.T)


def test_the_constant_side_of_a_batched_product_is_a_kernel(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)
    weights[1, :, 2] = 0
    spec = tf.TensorSpec([2, 3, 5], tf.float32, name="x")
    file = tflite_file.read(write_function(lambda x: tf.matmul(x, weights), tmp_path, spec))

    (kernel,) = file.kernels
    assert (kernel.operator, kernel.output_axis) == ("BATCH_MATMUL", 2)
    assert np.array_equal(kernel.values, weights)
    assert kernel.sparsity() == 5 / 40
    assert kernel.unique_per_channel() == 10


def test_a_layer_that_is_used_twice_has_its_weights_once(tmp_path: Path) -> None:
    x = layers.Input((4,), name="x")
    shared = layers.Dense(4, name="shared")
    model = tf_keras.Model(x, layers.Dense(2, name="head")(shared(tf.nn.relu(shared(x)))))
    set_zeros(model, "shared", 0.5)
    file = tflite_file.read(write(model, tmp_path))

    assert file.operator_counts["FULLY_CONNECTED"] == 3
    assert [kernel.layer for kernel in file.kernels] == ["shared", "head"]
    assert [kernel.bytes for kernel in file.kernels] == [64, 32]
