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
from ai_edge_litert.interpreter import Interpreter

from components.common.models import model_files
from components.common.tflite import tflite_file
from components.common.tflite.tflite_file import TFLiteFileError
from tests.components.common.tflite.written_files import (
    file_sparsity,
    kernel_of,
    save,
    sequential,
    write,
    write_function,
)
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
def test_what_is_not_a_tflite_file_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
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
