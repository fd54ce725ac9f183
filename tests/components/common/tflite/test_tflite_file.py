"""What is read from TFLite files, held against Keras, NumPy and the interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils

from components.common.models import layer_weights, model_files
from components.common.tflite import encoding as tflite_encoding
from components.common.tflite import tflite_file
from components.common.tflite.kernel import Kernel
from components.common.tflite.tflite_file import SIGNATURE, TFLiteFile, TFLiteFileError
from tests.components.conftest import Step
from tests.conftest import Trained

LAYERS = ["conv1", "conv2", "dense", "probabilities"]
FORMATS = [
    ("float32", "float32"),
    ("float16", "float32"),
    ("dynamic", "float32"),
    ("int8", "float32"),
    ("int8", "int8"),
    ("int16x8", "float32"),
]
ids = ["-".join(f) for f in FORMATS]
layers = tf_keras.layers
SPARSITY = tf.lite.Optimize.EXPERIMENTAL_SPARSITY


def tensors_by_shape(file: str, shape: tuple[int, ...]) -> list[tuple[np.ndarray, Any]]:
    """Constant tensors of a shape, with their zero points: by the interpreter, not by the flatbuffer."""
    interpreter = Interpreter(file, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    found = []
    for detail in interpreter.get_tensor_details():
        if tuple(detail["shape"]) == shape:
            try:
                values = interpreter.get_tensor(detail["index"])
            except ValueError:  # not a constant
                continue
            found.append((values, detail["quantization_parameters"]["zero_points"]))
    return found


def keras_kernels(uri: str) -> dict[str, np.ndarray]:
    """Layer → kernel as TFLite lays it out: output channels first."""
    model = model_files.load(uri)
    kernels = {}
    for layer in model.layers:
        name = layer.name.removeprefix("quant_")
        if name in LAYERS:
            kernel = next(w for w in layer.weights if w.name.endswith("kernel:0")).numpy()
            kernels[name] = np.transpose(kernel, (3, 0, 1, 2) if kernel.ndim == 4 else (1, 0))
    return kernels


def kernel_of(file: TFLiteFile, layer: str) -> Kernel:
    (kernel,) = [kernel for kernel in file.kernels if layer in kernel.layers]
    assert kernel.layer == layer
    return kernel


def file_sparsity(path: str, wanted: list[str]) -> dict[str, float]:
    """Layer → the least share of zeros among its kernels."""
    found = tflite_file.read(path).layer_kernels(wanted)
    return {layer: min(kernel.sparsity() for kernel in own) for layer, own in found.items()}


def sequential(*stack: Any, shape: tuple[int, ...]) -> tf_keras.Model:
    return tf_keras.Sequential([layers.Input(shape, name="x"), *stack])


def set_zeros(model: tf_keras.Model, layer: str, share: float) -> None:
    """Makes a share of a layer's kernel zero, and its bias not: a bias of zeros is left out."""
    kernel = layer_weights.kernel_of(model.get_layer(layer))
    values = np.random.default_rng(1).normal(size=kernel.shape)
    flat = values.reshape(-1)
    flat[np.random.default_rng(2).permutation(flat.size)[: int(share * flat.size)]] = 0
    kernel.assign(values)
    for number, weight in enumerate(model.get_layer(layer).weights):
        if "bias" in weight.name:
            weight.assign(np.random.default_rng(number).normal(size=weight.shape))


def write(
    model: tf_keras.Model, folder: Path, quantization: str = "float32", io: str = "float32", *extra: Any
) -> str:
    """Converts a model; `extra` are further optimizations."""
    model_files.save_serving(model, str(folder), ["x"])
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=[SIGNATURE])
    converter.optimizations = [*([tf.lite.Optimize.DEFAULT] if quantization != "float32" else []), *extra]
    if quantization == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantization == "int8":
        rng = np.random.default_rng(0)
        shape = (1, *model.input_shape[1:])
        converter.representative_dataset = lambda: (
            {"x": rng.random(shape).astype(np.float32)} for _ in range(8)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if io == "int8":
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return save(converter.convert(), folder)


def save(content: bytes, folder: Path) -> str:
    file = folder / "tflite"
    file.write_bytes(content)
    return str(file)


def write_function(function: Any, folder: Path, *specs: tf.TensorSpec, flex: bool = False) -> str:
    concrete = tf.function(function).get_concrete_function(*specs)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    if flex:
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS,
            tf.lite.OpsSet.SELECT_TF_OPS,
        ]
    return save(converter.convert(), folder)


def of_values(values: Any, operator: str = "FULLY_CONNECTED", **changes: Any) -> Kernel:
    """A kernel as it would be read, of given values."""
    values = np.asarray(values)
    fields: dict[str, Any] = {
        "operator": operator,
        "layers": frozenset(),
        "values": values,
        "dtype": values.dtype.name,
        "scales": np.ones(1, np.float32),
        "zero_points": np.zeros(1, np.int64),
        "channel_axis": 0,
        "output_axis": 0,
        "bytes": values.nbytes,
        "sparse": False,
    }
    return Kernel(**{**fields, **changes})


@pytest.mark.parametrize(("quantization", "io"), FORMATS, ids=ids)
def test_every_kernel_is_found_by_its_layers_name(
    trained: Trained, converted: Callable[..., Step], quantization: str, io: str
) -> None:
    path = model_files.tflite_file(converted(trained.uri, quantization, io).uri)
    file, expected = tflite_file.read(path), keras_kernels(trained.uri)

    assert [kernel.layer for kernel in file.kernels] == LAYERS
    for layer in LAYERS:
        kernel = kernel_of(file, layer)
        assert kernel.values.shape == expected[layer].shape
        # Every one is the layer's own: it goes with the layer's Keras weights, which BatchNormalization
        # scales by output channel.
        stored = (kernel.values.astype(np.float64) - kernel.zero_points[0]).reshape(len(kernel.values), -1)
        for row, own in zip(stored, expected[layer].reshape(len(stored), -1), strict=True):
            assert abs(np.corrcoef(row, own)[0, 1]) > 0.99


@pytest.mark.parametrize("base", ["quantization_aware", "pruned_quantization_aware"])
def test_kernels_of_quantization_aware_models_are_found(
    base: str, converted: Callable[..., Step], request: pytest.FixtureRequest
) -> None:
    step = request.getfixturevalue(base)
    file = tflite_file.read(model_files.tflite_file(converted(step.uri, "int8", "int8").uri))

    for layer, values in keras_kernels(step.uri).items():
        kernel = kernel_of(file, layer)
        assert kernel.values.dtype == np.int8
        assert kernel.values.shape == values.shape


@pytest.mark.parametrize(("quantization", "io"), FORMATS, ids=ids)
def test_sparsity_is_what_the_interpreters_tensors_have(
    pruned: Step, converted: Callable[..., Step], quantization: str, io: str
) -> None:
    path = model_files.tflite_file(converted(pruned.uri, quantization, io).uri)
    file, measured = tflite_file.read(path), file_sparsity(path, LAYERS)

    assert sorted(measured) == LAYERS
    for layer in LAYERS:
        # Float16 kernels are there a second time, dequantized.
        tensors = tensors_by_shape(path, kernel_of(file, layer).values.shape)
        counted = {np.mean(v == (z if z.size == 1 else 0)) for v, z in tensors if v.dtype != np.float32}
        counted |= {np.mean(v == 0) for v, _ in tensors if v.dtype == np.float32}
        assert measured[layer] in counted
        assert measured[layer] == pytest.approx(0.8, abs=0.008 if layer == "conv1" else 0.005)


@pytest.mark.parametrize(("quantization", "io"), FORMATS, ids=ids)
def test_signature_and_quantization_are_the_interpreters(
    trained: Trained, converted: Callable[..., Step], quantization: str, io: str
) -> None:
    path = model_files.tflite_file(converted(trained.uri, quantization, io).uri)
    file = tflite_file.read(path)
    runner = Interpreter(path).get_signature_runner("serving_default")

    assert list(file.signatures) == ["serving_default"]
    assert file.bytes == os.path.getsize(path)
    for own, theirs in (
        (file.inputs, runner.get_input_details()),
        (file.outputs, runner.get_output_details()),
    ):
        assert list(own) == list(theirs)
        for name, detail in theirs.items():
            tensor = own[name]
            parameters = detail["quantization_parameters"]
            assert tensor.shape == tuple(detail["shape_signature"])
            assert tensor.dtype == np.dtype(detail["dtype"]).name
            assert tensor.scales.tolist() == parameters["scales"].tolist()
            assert tensor.zero_points.tolist() == parameters["zero_points"].tolist()
            assert (tensor.bytes, tensor.sparse) == (0, False)


def test_kernels_have_the_converters_scales_and_their_bias(
    trained: Trained, converted: Callable[..., Step]
) -> None:
    path = model_files.tflite_file(converted(trained.uri, "int8", "int8").uri)
    file, expected = tflite_file.read(path), keras_kernels(trained.uri)

    conv, dense = kernel_of(file, "conv2"), kernel_of(file, "dense")
    assert (conv.operator, conv.dtype, conv.channel_axis, conv.output_axis) == ("CONV_2D", "int8", 0, 0)
    assert conv.scales.shape == conv.zero_points.shape == (8,)
    assert (conv.bytes, conv.values.size) == (8 * 3 * 3 * 4, 8 * 3 * 3 * 4)
    assert conv.bias is not None and (conv.bias.dtype, conv.bias.bytes) == ("int32", 8 * 4)
    # No BatchNormalization is folded into the dense layer.
    assert dense.scales.shape == (1,)
    assert np.abs(dense.values * dense.scales - expected["dense"]).max() <= dense.scales[0] * 0.501


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
    # What stands for zero need not be 0.
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


def test_operators_of_tensorflow_go_by_their_own_names(tmp_path: Path) -> None:
    spec = tf.TensorSpec([1, 4], tf.float32, name="x")
    path = write_function(lambda x: tf.math.erf(tf.math.erf(x) + 1), tmp_path, spec, flex=True)
    file = tflite_file.read(path)

    assert file.operator_counts == {"FlexErf": 2, "ADD": 1}
    assert file.kernels == []
    assert file.activation_dtypes == {"float32": 4}


def test_operators_are_counted_the_commonest_first(
    trained: Trained, converted: Callable[..., Step]
) -> None:
    file = tflite_file.read(model_files.tflite_file(converted(trained.uri, "int8").uri))

    assert list(file.operator_counts.items())[:2] == [("CONV_2D", 2), ("FULLY_CONNECTED", 2)]
    assert {"QUANTIZE", "DEQUANTIZE"} <= set(file.operator_counts)
    assert file.activation_dtypes["float32"] == 2
    assert file.activation_dtypes["int8"] >= 6
    assert "CONVERSION_METADATA" in file.metadata


def test_a_layer_that_is_used_twice_has_its_weights_once(tmp_path: Path) -> None:
    x = layers.Input((4,), name="x")
    shared = layers.Dense(4, name="shared")
    model = tf_keras.Model(x, layers.Dense(2, name="head")(shared(tf.nn.relu(shared(x)))))
    set_zeros(model, "shared", 0.5)
    file = tflite_file.read(write(model, tmp_path))

    assert file.operator_counts["FULLY_CONNECTED"] == 3
    assert [kernel.layer for kernel in file.kernels] == ["shared", "head"]
    assert [kernel.bytes for kernel in file.kernels] == [64, 32]


@pytest.mark.parametrize("quantization", ["float32", "float16", "dynamic", "int8"])
def test_sparse_encoded_kernels_are_read_dense(tmp_path: Path, quantization: str) -> None:
    model = sequential(
        layers.Conv2D(16, 1, name="conv"),
        layers.Flatten(),
        layers.Dense(64, activation="relu", name="dense"),
        layers.Dense(8, name="head"),
        shape=(6, 6, 8),
    )
    names = ["conv", "dense", "head"]
    for name in names:
        set_zeros(model, name, 0.8)
    plain = tflite_file.read(write(model, tmp_path / "plain", quantization))
    file = tflite_file.read(write(model, tmp_path / "sparse", quantization, "float32", SPARSITY))

    assert (plain.operator_counts.get("DENSIFY"), file.operator_counts["DENSIFY"]) == (None, 3)
    assert [kernel.layer for kernel in file.kernels] == names
    for name in names:
        kernel, dense = kernel_of(file, name), kernel_of(plain, name)
        (own,) = layer_weights.kernels(model)[name]
        assert (kernel.sparse, dense.sparse) == (True, False)
        assert (kernel.dtype, kernel.values.dtype) == (dense.dtype, dense.values.dtype)
        assert np.array_equal(kernel.values, dense.values)
        step = np.float64(kernel.scales if kernel.scales.size else 0).reshape(
            -1, *[1] * (own.values.ndim - 1)
        )
        tolerance = step * 0.501 if kernel.scales.size else 1e-3 if kernel.dtype == "float16" else 0
        real = kernel.values * (step if kernel.scales.size else 1)
        assert (np.abs(real - own.values) <= tolerance).all()
        assert kernel.sparsity() == pytest.approx(0.8, abs=0.01)
        stored = np.count_nonzero(kernel.values) * kernel.values.itemsize
        assert stored < kernel.bytes
    assert kernel_of(file, "dense").bytes < kernel_of(plain, "dense").bytes
    assert all(tensor.bytes <= file.bytes for tensor in file.tensors)


def test_blocks_of_a_sparse_encoded_kernel_are_put_where_they_were(tmp_path: Path) -> None:
    model = sequential(layers.Dense(16, name="dense"), layers.Dense(2, name="head"), shape=(32,))
    rng = np.random.default_rng(0)
    blocks = rng.random((8, 16)) < 0.85
    values = rng.normal(size=(32, 16)) * ~np.repeat(blocks, 4, axis=0)
    model.get_layer("dense").set_weights([values, rng.normal(size=16)])
    path = write(model, tmp_path, "float32", "float32", SPARSITY)
    stored = [t.sparsity for g in flatbuffer_utils.read_model(path).subgraphs for t in g.tensors]

    assert any(s is not None and list(s.blockMap) == [1] for s in stored)
    kernel = kernel_of(tflite_file.read(path), "dense")
    assert kernel.sparse
    assert np.array_equal(kernel.values, values.T.astype(np.float32))


def sparsity_of(order: list[int], blocked: list[int], *levels: Any) -> schema.SparsityParametersT:
    """Sparsity parameters: a level is its dense size, or (segments, indices)."""
    metadata = []
    for level in levels:
        if isinstance(level, int):
            metadata.append(schema.DimensionMetadataT(schema.DimensionType.DENSE, level))
        else:
            segments, indices = schema.Uint16VectorT(level[0]), schema.Int32VectorT(level[1])
            kinds = schema.SparseIndexVector.Uint16Vector, schema.SparseIndexVector.Int32Vector
            metadata.append(
                schema.DimensionMetadataT(
                    schema.DimensionType.SPARSE_CSR, 0, kinds[0], segments, kinds[1], indices
                )
            )
    return schema.SparsityParametersT(order, blocked, metadata)


def test_densify_follows_the_order_of_traversal_and_the_blocks() -> None:
    # The example of the schema's comments: a 4×4 matrix cut into blocks of 2×2, of which one is left out.
    values = np.array([1, 0, 0, 4, 2, 3, 0, 0, 5, 0, 0, 6])
    sparsity = sparsity_of([0, 1, 2, 3], [0, 1], 2, ([0, 2, 3], [0, 1, 1]), 2, 2)
    expected = [[1, 0, 2, 3], [0, 4, 0, 0], [0, 0, 5, 0], [0, 0, 0, 6]]
    assert tflite_encoding.densify(values, (4, 4), sparsity).tolist() == expected

    columns = sparsity_of([1, 0], [], 3, ([0, 1, 1, 3], [1, 0, 1]))
    assert tflite_encoding.densify(np.array([7, 8, 9]), (2, 3), columns).tolist() == [[0, 0, 8], [7, 0, 9]]
    assert tflite_encoding.index_bytes(columns) == 4 * 2 + 3 * 4

    with pytest.raises(ValueError, match=r"shape \(2, 3\) stores more"):
        tflite_encoding.densify(np.zeros(9), (2, 3), sparsity_of([0, 1], [], 2, 10**9))


def test_packed_integers_have_the_lowest_bits_first() -> None:
    raw = np.array([0x1F, 0x87], np.uint8)
    assert tflite_encoding.unpack(raw, 4, signed=True).tolist() == [-1, 1, 7, -8]
    assert tflite_encoding.unpack(raw, 4, signed=False).tolist() == [15, 1, 7, 8]
    assert tflite_encoding.unpack(np.array([0b11_10_01_00], np.uint8), 2, signed=True).tolist() == [
        0,
        1,
        -2,
        -1,
    ]


def test_int4_kernels_are_read_as_the_runtime_reads_them(tmp_path: Path) -> None:
    model = sequential(layers.Dense(8, name="dense"), layers.Dense(5, name="head"), shape=(32,))
    set_zeros(model, "dense", 0.5)
    set_zeros(model, "head", 0)
    content = flatbuffer_utils.read_model_with_mutable_tensors(write(model, tmp_path))
    values = np.random.default_rng(0).integers(-7, 8, size=(8, 32))
    (tensor,) = [t for t in content.subgraphs[0].tensors if t.shape == [8, 32]]
    packed = (values.reshape(-1, 2) & 0xF) << [0, 4]
    content.buffers[tensor.buffer].data = packed.sum(axis=1).astype(np.uint8)
    tensor.type = schema.TensorType.INT4
    tensor.quantization = schema.QuantizationParametersT(scale=[0.25], zeroPoint=[0])
    path = tmp_path / "int4"
    flatbuffer_utils.write_model(content, path)

    kernel = kernel_of(tflite_file.read(path), "dense")
    assert (kernel.dtype, kernel.bytes) == ("int4", 8 * 32 // 2)
    assert kernel.values.tolist() == values.tolist()
    assert kernel.sparsity() == np.mean(values == 0)
    x = np.random.default_rng(1).normal(size=(1, 32)).astype(np.float32)
    hidden = x @ (kernel.values * 0.25).T + model.get_layer("dense").bias.numpy()
    expected = hidden @ model.get_layer("head").kernel.numpy() + model.get_layer("head").bias.numpy()
    runner = Interpreter(str(path)).get_signature_runner("serving_default")
    # The runtime quantizes the input to 8 bits.
    assert np.abs(runner(x=x)["head"] - expected).max() < 0.02 * np.abs(expected).max()


@pytest.fixture
def tiny(tmp_path: Path) -> bytes:
    model = sequential(layers.Dense(3, name="dense"), layers.Dense(2, name="head"), shape=(4,))
    return Path(write(model, tmp_path)).read_bytes()


def test_a_file_that_is_cut_off_is_refused_wherever_it_ends(tmp_path: Path, tiny: bytes) -> None:
    file = tmp_path / "cut"
    for length in [*range(8, len(tiny), 97), len(tiny) - 1]:
        file.write_bytes(tiny[:length])
        with pytest.raises(TFLiteFileError, match=rf"^{file} is a broken TFLite file, cut off") as refusal:
            tflite_file.read(file)
        assert "\n" not in str(refusal.value)


def test_a_file_with_changed_bytes_is_read_or_refused(tmp_path: Path, tiny: bytes) -> None:
    file, rng, refused = tmp_path / "changed", np.random.default_rng(0), 0
    for _ in range(200):
        content = bytearray(tiny)
        for place in rng.integers(8, len(tiny), 8):
            content[place] = rng.integers(256)
        file.write_bytes(content)
        try:
            tflite_file.read(file)
        except TFLiteFileError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"TFL3", "lacks the identifier TFL3"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "is not a TFLite file: it lacks the identifier TFL3"),
        (bytes(4) + b"TFL3" + bytes(100), "is a broken TFLite file"),
    ],
    ids=["empty", "short", "PNG", "only the identifier"],
)
def test_what_is_no_tflite_file_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(TFLiteFileError, match=reason):
        tflite_file.read(file)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TFLiteFileError, match=r"none cannot be read: No such file or directory"):
        tflite_file.read(tmp_path / "none")
    with pytest.raises(TFLiteFileError, match=r"cannot be read: Is a directory"):
        tflite_file.read(tmp_path)


def test_a_file_is_known_by_its_identifier(tmp_path: Path, tiny: bytes) -> None:
    (tmp_path / "other").write_bytes(b"\x89HDF\r\n\x1a\n")
    assert tflite_file.has_identifier(save(tiny, tmp_path))
    assert not tflite_file.has_identifier(tmp_path / "other")


def test_no_file_stays_open(tmp_path: Path, tiny: bytes) -> None:
    path = save(tiny, tmp_path)
    tflite_file.read(path)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        tflite_file.read(path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_reading_imports_no_tensorflow(tmp_path: Path, tiny: bytes) -> None:
    program = (
        "import sys\nfrom components.common.tflite import tflite_file\n"
        f"assert len(tflite_file.read({save(tiny, tmp_path)!r}).kernels) == 2\n"
        "print(sorted({'tensorflow', 'tf_keras', 'keras', 'tfx'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
