"""Kernels that are stored sparsely, or several to a byte, are read as the runtime reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils

from components.common.models import layer_weights
from components.common.tflite import encoding as tflite_encoding
from components.common.tflite import tflite_file
from tests.components.common.tflite.written_files import (
    kernel_of,
    sequential,
    set_zeros,
    write,
)

layers = tf_keras.layers
SPARSITY = tf.lite.Optimize.EXPERIMENTAL_SPARSITY


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
