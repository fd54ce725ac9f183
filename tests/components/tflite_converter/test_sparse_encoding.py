"""Sparse-encoded files: which load on LiteRT, and that those that do not are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from components.common.models import model_files
from components.common.tflite import tflite_file
from components.common.tflite.litert import LiteRTModel
from components.tflite_converter import sparse_encoding
from components.tflite_converter.conversion_error import ConversionError
from components.tflite_converter.executor import convert, convert_model
from components.tflite_converter.params import ConvertOptions
from tests.components.conftest import Step, make_job, run_step
from tests.components.tflite_converter.conftest import (
    KERNELS,
    Convertible,
    predict,
    saved,
    small_images,
    stack,
)  # fmt: skip
from tests.conftest import Digits, Trained


def prune(model: tf_keras.Model, sparsity: float, block: int = 1) -> tf_keras.Model:
    """Sets the smallest weights to zero, `block` in a row along the input channels."""
    for layer in model.layers:
        weights = layer.get_weights()
        for index, values in enumerate(weights):
            if values.ndim < 2:
                continue
            rows = np.moveaxis(values, -2, -1)
            blocks = rows.reshape(-1, block).copy()
            size = np.abs(blocks).sum(axis=1)
            blocks[size <= np.quantile(size, sparsity)] = 0
            weights[index] = np.moveaxis(blocks.reshape(rows.shape), -1, -2)
        layer.set_weights(weights)
    return model


def pruned_model(
    kind: str, digits: dict[str, Digits], folder: Path, sparsity: float = 0.8, block: int = 1
) -> Convertible:
    model = prune(stack(KERNELS[kind]()), sparsity, block)
    return saved(model, folder / "model", {"image": small_images(digits)})


@pytest.mark.parametrize("kind", KERNELS)
@pytest.mark.parametrize("quantization", ["float32", "float16"])
def test_a_pruned_float_model_is_stored_sparsely_and_predicts_the_same(
    mnist_arrays: dict[str, Digits], tmp_path: Path, kind: str, quantization: str
) -> None:
    model = pruned_model(kind, mnist_arrays, tmp_path)
    dense = model.convert(quantization=quantization)
    content = model.convert(quantization=quantization, sparse=True)

    assert not tflite_file.parse(dense).sparse_tensors
    assert len(tflite_file.parse(content).sparse_tensors) == 2  # both kernels
    assert len(content) < 0.8 * len(dense)
    features = model.examples.features
    for name, values in predict(dense, features, tmp_path).items():
        np.testing.assert_array_equal(predict(content, features, tmp_path)[name], values)
    assert model.error_of(content, tmp_path) < 0.01
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "b").write_bytes(dense)
    for one, other in zip(
        tflite_file.read(tmp_path / "a").kernels, tflite_file.read(tmp_path / "b").kernels, strict=True
    ):
        assert one.sparse and not other.sparse
        np.testing.assert_array_equal(one.values, other.values)
        assert one.sparsity() == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D"])
def test_int8_convolutions_load_sparse_encoded(
    mnist_arrays: dict[str, Digits], tmp_path: Path, kind: str
) -> None:
    model = pruned_model(kind, mnist_arrays, tmp_path)
    dense = model.convert(quantization="int8", io="int8")
    content = model.convert(quantization="int8", io="int8", sparse=True)

    assert len(tflite_file.parse(content).sparse_tensors) == 2
    if kind == "CONV_2D":
        assert len(content) < 0.95 * len(dense)
    features = model.examples.features
    for name, values in predict(dense, features, tmp_path).items():
        np.testing.assert_array_equal(predict(content, features, tmp_path)[name], values)


def test_int8_dense_layers_do_not_load_sparse_encoded_and_are_refused(
    mnist_arrays: dict[str, Digits], tmp_path: Path
) -> None:
    model = pruned_model("FULLY_CONNECTED", mnist_arrays, tmp_path)

    with pytest.raises(ConversionError) as raised:
        model.convert(quantization="int8", sparse=True)
    said = str(raised.value)
    assert said.startswith("sparse: true gives a file that does not load on LiteRT: ")
    assert "the sparse-encoded FULLY_CONNECTED layers cannot run" in said
    assert said.endswith("or leave those layers out of `prune`")
    assert "\n" not in said


def test_a_file_that_is_read_as_if_it_were_dense_is_refused_without_loading_it(
    mnist_arrays: dict[str, Digits], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of dense layers that are pruned in 1×4 blocks, LiteRT 2.3 takes the float16 blocks for the kernel, and reads
    # past their end: in one of some ten processes that is a segmentation fault.
    model = pruned_model("FULLY_CONNECTED", mnist_arrays, tmp_path, block=4)
    float32 = model.convert(quantization="float32", sparse=True)

    assert model.error_of(float32, tmp_path) < 1e-5
    monkeypatch.setattr(sparse_encoding, "LiteRTModel", None)
    with pytest.raises(
        ConversionError, match=r"reads wrongly: DEQUANTIZE takes the sparse-encoded .* for dense; leave"
    ):
        model.convert(quantization="float16", sparse=True)


def test_predictions_are_compared_by_value(mnist_arrays: dict[str, Digits], tmp_path: Path) -> None:
    model = pruned_model("CONV_2D", mnist_arrays, tmp_path)
    sparse, dense = (model.convert(quantization="float32", sparse=sparse) for sparse in (True, False))
    other = pruned_model("CONV_2D", mnist_arrays, tmp_path / "other", sparsity=0.9)

    sparse_encoding.refuse_misread(sparse, dense, None)
    sparse_encoding.refuse_misread(sparse, dense, model.examples)
    with pytest.raises(ConversionError, match="pool differs by"):
        sparse_encoding.refuse_misread(sparse, other.convert(quantization="float32"), None)


@pytest.mark.parametrize("sparsity", [0, 0.2])
def test_a_model_without_zeros_is_not_stored_sparsely(
    mnist_arrays: dict[str, Digits], tmp_path: Path, sparsity: float
) -> None:
    model = pruned_model("CONV_2D", mnist_arrays, tmp_path, sparsity)

    with pytest.raises(ConversionError, match=r"stores no layer sparsely.*write a `prune` step"):
        model.convert(quantization="float32", sparse=True)


@pytest.mark.parametrize("quantization", ["dynamic", "int16x8"])
def test_what_options_refuse_does_not_load_indeed(
    mnist_arrays: dict[str, Digits], tmp_path: Path, quantization: str
) -> None:
    import tensorflow as tf

    from components.common.tflite.litert import LiteRTError
    from components.tflite_converter import tf_converter

    model = pruned_model("CONV_2D", mnist_arrays, tmp_path)
    options = ConvertOptions(quantization=quantization)
    calibration = model.examples if quantization == "int16x8" else None
    converter = tf_converter.make(model.folder, options, "per-channel", calibration, sparse=True)
    assert tf.lite.Optimize.EXPERIMENTAL_SPARSITY in converter.optimizations

    with pytest.raises(LiteRTError, match="does not load on LiteRT"):
        predict(converter.convert(), model.examples.features, tmp_path)


def test_one_sparse_model_gives_one_file(mnist_arrays: dict[str, Digits], tmp_path: Path) -> None:
    model = pruned_model("CONV_2D", mnist_arrays, tmp_path)
    for quantization in ("float32", "int8"):
        contents = {model.convert(quantization=quantization, sparse=True) for _ in range(2)}
        assert len(contents) == 1


def test_a_pruned_step_is_smaller_by_what_its_facts_say(
    pruned: Step, trained: Trained, mnist_examples: Any, converted: Any, tmp_path: Path
) -> None:
    dense = converted(pruned.uri, "float32")
    options = ConvertOptions(quantization="float32", sparse=True)
    facts = run_step(convert_model, make_job(pruned.uri, tmp_path, options, mnist_examples))

    path = model_files.tflite_file(str(tmp_path))
    assert facts["bytes"] == Path(path).stat().st_size < 0.6 * dense.facts["bytes"]
    assert facts["sparse_tensors"] == 4 and "sparse_tensors" not in dense.facts
    assert LiteRTModel(path).inputs["image"].shape == (28, 28, 1)
    with pytest.raises(ConversionError, match="stores no layer sparsely"):
        convert(model_files.serving_dir(trained.uri), options, False, None)


def test_a_pruned_quantization_aware_model_is_checked_without_examples(
    pruned_quantization_aware: Step,
) -> None:
    folder = model_files.serving_dir(pruned_quantization_aware.uri)

    with pytest.raises(ConversionError, match="the sparse-encoded FULLY_CONNECTED layers cannot run"):
        convert(folder, ConvertOptions(quantization="int8", sparse=True), True, None)
