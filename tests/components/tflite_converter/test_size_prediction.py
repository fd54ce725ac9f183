"""Predicted sizes against files that the converter wrote, of untrained models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from components.clusterer.params import ClusterOptions
from components.common.base.step_options import StepOptions
from components.common.data.arrays import Arrays
from components.common.models import batch_norm, layer_weights, model_files
from components.common.models.model_definition import ModelDefinition
from components.common.models.model_files import StepRecord
from components.common.tflite import tflite_file
from components.common.tflite.tflite_file import TFLiteFile
from components.pruner.invariants import Sparsity
from components.pruner.params import PruneOptions
from components.quantization_aware_trainer.executor import prepare, quantize, with_one_scale
from components.quantization_aware_trainer.params import QatOptions
from components.tflite_converter import size_prediction
from components.tflite_converter.executor import convert
from components.tflite_converter.params import ConvertOptions, resolve_granularity
from configs.mnist import model as mnist
from tests.components.conftest import must_keep

layers = tf_keras.layers
# The issue asks for 10 % on the shipped examples.
LIMIT = 0.05
# As in configs/mnist/pipeline.yaml.
HPARAMS = {"filters": [16, 32], "units": 512, "learning_rate": 0.001}


def depthwise_model(hparams: dict[str, Any]) -> tf_keras.Model:
    """In the manner of MobileNet, with BatchNormalization after each convolution."""

    def normalized(x: Any, name: str) -> Any:
        return layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(name=f"{name}_bn")(x))

    x = image = layers.Input((28, 28, 1), name="image")
    x = normalized(layers.Conv2D(16, 3, strides=2, use_bias=False, name="conv")(x), "conv")
    for name, filters in (("one", 32), ("two", 64)):
        x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
        x = normalized(x, f"{name}_depthwise")
        x = normalized(layers.Conv2D(filters, 1, use_bias=False, name=name)(x), name)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return tf_keras.Model(
        image, layers.Dense(10, activation="softmax", name="probabilities")(x), name="net"
    )


def dense_model(hparams: dict[str, Any]) -> tf_keras.Model:
    x = image = layers.Input((28, 28, 1), name="image")
    x = layers.Dense(8, activation="relu", name="dense")(layers.Flatten(name="flatten")(x))
    return tf_keras.Model(
        image, layers.Dense(10, activation="softmax", name="probabilities")(x), name="net"
    )


def tiny_model(hparams: dict[str, Any]) -> tf_keras.Model:
    """Hardly any weights: nearly all of the file is something else."""
    x = row = layers.Input((4,), name="row")
    x = layers.Dense(8, activation="relu", name="dense")(x)
    return tf_keras.Model(row, layers.Dense(3, activation="softmax", name="probabilities")(x), name="net")


MODELS: dict[str, Callable[[dict[str, Any]], tf_keras.Model]] = {
    "mnist": mnist.build_model,
    "mnist student": mnist.build_student,
    "depthwise": depthwise_model,
    "dense": dense_model,
    "tiny": tiny_model,
}
CONVERSIONS: dict[str, dict[str, Any]] = {
    "float32": {"quantization": "float32"},
    "float16": {"quantization": "float16"},
    "dynamic": {"quantization": "dynamic"},
    "int8": {"quantization": "int8"},
    "int8 inputs": {"quantization": "int8", "io": "int8"},
    "int16x8": {"quantization": "int16x8"},
    "sparse float32": {"quantization": "float32", "sparse": True},
    "sparse float16": {"quantization": "float16", "sparse": True},
}
CHAINS: dict[str, tuple[str, ...]] = {
    "": ("float32", "float16", "dynamic", "int8", "int8 inputs", "int16x8"),
    "prune": ("float32", "int8 inputs", "sparse float32", "sparse float16"),
    "cluster": ("float32", "float16", "dynamic", "int8 inputs"),
    "qat": ("int8", "int8 inputs"),
    "cluster qat": ("int8", "int8 inputs"),
    "prune qat": ("int8 inputs",),
}
CASES = [
    (model, chain, conversion)
    for model in MODELS
    for chain, conversions in CHAINS.items()
    for conversion in conversions
]


def spread(model: tf_keras.Model) -> None:
    """Gives biases and statistics values as training would: as they are, the file has them once."""
    random = np.random.default_rng(3)
    for weight in model.weights:
        if weight.shape.rank == 1:
            weight.assign(weight.numpy() + random.uniform(0.01, 0.3, weight.shape))


def kernels(model: tf_keras.Model) -> dict[str, Any]:
    """Layer → its kernel variable, of those that can be pruned and clustered."""
    return {
        layer.name: layer_weights.kernel_of(layer)
        for layer in model.layers
        if layer_weights.has_kernel(layer) and not isinstance(layer, layers.DepthwiseConv2D)
    }


STEPS = {
    "prune": PruneOptions(sparsity=0.8),
    "cluster": ClusterOptions(),
    "qat": QatOptions(),
}


def after(record: StepRecord, options: StepOptions) -> StepRecord:
    return record.after(options, quantization_aware=record.quantization_aware or options.quantization_aware)


class Chain:
    """The result of a chain, by NumPy instead of training.

    Attributes:
        model: To convert.
        explained: With the layers that `explain` knows of.
        record: What the steps ask for.
    """

    def __init__(self, build: Callable[[dict[str, Any]], tf_keras.Model], steps: str):
        tf_keras.backend.clear_session()
        tf_keras.utils.set_random_seed(1)
        self.model = build(HPARAMS)
        spread(self.model)
        self.explained = self.model
        self.record = StepRecord()
        for step in steps.split():
            self.record = after(self.record, STEPS[step])
            getattr(self, step)()

    def prune(self) -> None:
        for name, kernel in kernels(self.model).items():
            values = kernel.numpy()
            values[np.abs(values) <= np.quantile(np.abs(values), 0.8)] = 0
            kernel.assign(values)
            self.record.ask(name, *must_keep(sparsity=0.8))

    def cluster(self) -> None:
        self.model = self.explained = batch_norm.fold(self.model, kernels(self.model))
        for name, kernel in kernels(self.model).items():
            values = kernel.numpy()
            centroids = np.linspace(values.min(), values.max(), 16, dtype=np.float32)
            kernel.assign(centroids[np.abs(values[..., np.newaxis] - centroids).argmin(axis=-1)])
            self.record.ask(name, *must_keep(clusters=16))

    def qat(self) -> None:
        self.explained = prepare(self.model)
        copy = tf_keras.models.clone_model(self.explained)
        copy.set_weights(self.explained.get_weights())
        self.model = quantize(copy, [], with_one_scale(self.record))


def saved(model: tf_keras.Model, folder: Path) -> str:
    model_files.save_serving(model, str(folder), list(model.input_names))
    return str(folder)


def read(content: bytes, folder: Path) -> TFLiteFile:
    (folder / "model.tflite").write_bytes(content)
    return tflite_file.read(folder / "model.tflite")


class Sizes:
    """Predicted and real bytes, each chain built and each file written only once."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._chains: dict[tuple[str, str], tuple[Chain, str, TFLiteFile]] = {}

    def of(self, model: str, steps: str, conversion: str) -> tuple[int, int, TFLiteFile]:
        """Predicted bytes, real bytes, and the real file."""
        if (model, steps) not in self._chains:
            folder = self._folder / f"{model} {steps}"
            folder.mkdir()
            chain = Chain(MODELS[model], steps)
            content = convert(
                saved(chain.explained, folder / "float"),
                ConvertOptions(quantization="float32"),
                False,
                None,
            )
            self._chains[model, steps] = (
                chain,
                saved(chain.model, folder / "saved"),
                read(content, folder),
            )
        chain, source, float_file = self._chains[model, steps]
        options = ConvertOptions(**CONVERSIONS[conversion])
        clustered = "cluster" in steps
        shape = chain.model.inputs[0].shape[1:]
        examples = np.random.default_rng(0).random((3, *shape), np.float32)
        calibration = Arrays({chain.model.input_names[0].removeprefix("quant_"): examples}, np.zeros(3))
        content = convert(source, options, "qat" in steps, calibration, clustered)
        prediction = size_prediction.predict(
            float_file, options, resolve_granularity(options, clustered), chain.record
        )
        return prediction.size, len(content), read(content, self._folder)


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> Sizes:
    return Sizes(tmp_path_factory.mktemp("sizes"))


@pytest.mark.parametrize(
    ("model", "chain", "conversion"),
    CASES,
    ids=[f"{model}, {chain or 'as it is'}, {conversion}" for model, chain, conversion in CASES],
)
def test_a_predicted_size_is_that_of_the_real_file(
    sizes: Sizes, model: str, chain: str, conversion: str
) -> None:
    predicted, real, _ = sizes.of(model, chain, conversion)

    assert abs(predicted / real - 1) < LIMIT, f"{predicted:,} predicted, {real:,} bytes in fact"


def test_an_untrained_model_weighs_as_much_as_a_trained_one(tmp_path: Path) -> None:
    """Biases of equal length that are all zero are one constant in the file, and several once trained."""
    from components.common.steps.explanation import Workshop

    def model() -> tf_keras.Model:
        tf_keras.backend.clear_session()
        return tf_keras.Sequential(
            [layers.Input((8,), name="x")] + [layers.Dense(64, name=name) for name in ("a", "b", "c")]
        )

    def to_tflite(folder: str, aware: bool) -> bytes:
        return convert(folder, ConvertOptions(quantization="float32"), False, None)

    untrained, trained = model(), model()
    spread(trained)
    real = len(to_tflite(saved(trained, tmp_path / "trained"), False))
    as_built = len(to_tflite(saved(untrained, tmp_path / "untrained"), False))

    assert as_built < real - 2 * 64 * 4
    assert Workshop(ModelDefinition(""), to_tflite, None).float_file(model()).bytes == real


def kernel_bytes(file: TFLiteFile) -> dict[str, int]:
    return {kernel.layer: kernel.bytes for kernel in file.kernels}


def test_sparse_kernels_are_counted_to_the_byte(sizes: Sizes) -> None:
    """CSR: four bytes and an index of one for each value, and the start of each row."""
    _, _, file = sizes.of("mnist student", "prune", "sparse float32")
    found = {kernel.layer: kernel for kernel in file.kernels}

    dense = found["probabilities"]  # 10 outputs × 144 inputs
    assert dense.values.shape == (10, 144) and dense.sparse
    nonzero = int(np.count_nonzero(dense.values))
    assert dense.bytes == nonzero * (4 + 1) + 11 * 2
    conv = found["conv2"]  # 16 × 3 × 3 rows of 8 input channels
    nonzero = int(np.count_nonzero(conv.values))
    assert conv.bytes == nonzero * (4 + 1) + (16 * 3 * 3 + 1) * 1

    prediction = size_prediction._kernel_bytes(dense, "float32", dense.sparsity(), False)
    assert prediction == dense.bytes
    assert size_prediction._kernel_bytes(conv, "float32", conv.sparsity(), False) == conv.bytes


@pytest.mark.parametrize(("block", "blocked"), [(1, False), (4, True)])
def test_blocks_of_four_share_an_index(tmp_path: Path, block: int, blocked: bool) -> None:
    chain = Chain(dense_model, "")
    kernel = chain.model.get_layer("dense").kernel
    values = kernel.numpy().reshape(-1, block, 8)
    size = np.abs(values).sum(axis=1, keepdims=True)
    kernel.assign(np.where(size <= np.quantile(size, 0.8), 0, values).reshape(kernel.shape))
    chain.record.ask("dense", Sparsity(least=0.8, block=(block, 1) if block > 1 else None))
    content = convert(
        saved(chain.model, tmp_path / "saved"),
        ConvertOptions(quantization="float32", sparse=True),
        False,
        None,
    )

    (found, *_) = read(content, tmp_path).kernels

    assert found.layer == "dense" and found.sparse
    assert size_prediction.in_blocks(found, chain.record) == blocked
    predicted = size_prediction._kernel_bytes(found, "float32", found.sparsity(), blocked)
    assert predicted == found.bytes < found.values.nbytes / 2


@pytest.mark.parametrize(("share", "sparse"), [(0.28, False), (0.33, True)])
def test_sparse_encoding_begins_at_thirty_percent(tmp_path: Path, share: float, sparse: bool) -> None:
    import tensorflow as tf

    model = dense_model({})
    for kernel in kernels(model).values():
        values = kernel.numpy()
        values[np.abs(values) <= np.quantile(np.abs(values), share)] = 0
        kernel.assign(values)
    converter = tf.lite.TFLiteConverter.from_saved_model(saved(model, tmp_path / "saved"))
    converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]

    found = {kernel.layer: kernel.sparse for kernel in read(converter.convert(), tmp_path).kernels}

    assert found == {"dense": sparse, "probabilities": sparse}
    assert (share >= size_prediction.SPARSE_FROM) == sparse


def test_parts_in_float_are_counted_as_such(sizes: Sizes) -> None:
    _, _, file = sizes.of("dense", "", "float32")
    weights = kernel_bytes(file)
    assert weights == {"dense": 28 * 28 * 8 * 4, "probabilities": 8 * 10 * 4}

    def predict(record: StepRecord, **options: Any) -> size_prediction.Prediction:
        return size_prediction.predict(file, ConvertOptions(**options), "per-channel", record)

    whole = predict(StepRecord(), quantization="int8")
    part = predict(StepRecord(), quantization="int8", float_layers=["prob*"])
    aware = predict(StepRecord(quantization_aware=True, float_layers=["dense"]), quantization="int8")

    assert whole.layers == {"dense": 28 * 28 * 8 + 8 * 4, "probabilities": 8 * 10 + 10 * 4}
    assert part.kinds == {"dense": "int8", "probabilities": "float32"}
    assert part.layers["probabilities"] == 8 * 10 * 4 + 10 * 4
    assert aware.layers["dense"] == weights["dense"] + 8 * 4
    assert predict(StepRecord(), quantization="dynamic").kinds == {
        "dense": "dynamic",
        "probabilities": "float32",
    }
