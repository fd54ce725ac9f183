"""Where post-training int8 loses accuracy, quantization-aware training keeps it.

The model is a depthwise-separable one whose channels have ranges that differ by a factor of 300, as they do
in MobileNets: cross-layer equalization of Nagel et al., "Data-Free Quantization Through Weight
Equalization and Bias Correction" (2019), https://arxiv.org/abs/1906.04721, undone. Kernels have a scale for
each channel, but activations have one for all, in which the small channels have a few steps left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from components.common.data.examples import Examples
from components.common.models import model_files
from components.common.models.model_definition import ModelDefinition
from components.common.models.model_files import StepRecord
from components.common.tflite.litert import LiteRTModel
from components.common.training import seeding
from components.quantization_aware_trainer.executor import train_quantization_aware
from components.quantization_aware_trainer.params import QatOptions
from components.tflite_converter.executor import convert_model
from components.tflite_converter.params import ConvertOptions
from components.trainer.run_fn import train_baseline
from tests.components.conftest import make_job, run_step
from tests.conftest import DATA, MNIST_SCHEMA, SEED, Digits, read_digits, to_example, write_examples

TRAIN, EVAL = 3000, 1000
POINT = 0.01
MODULE = '''
"""A small depthwise-separable model for digits."""

import tf_keras

layers = tf_keras.layers


def build_model(hparams):
    x = image = layers.Input((28, 28, 1), name="image")
    for name, layer in {
        "stem": layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False, name="stem"),
        "depthwise": layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False, name="depthwise"),
        "pointwise": layers.Conv2D(32, 1, use_bias=False, name="pointwise"),
    }.items():
        x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(layer(x))
        x = layers.ReLU(name=f"{name}_relu")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(10, activation="softmax", name="probabilities")(x)
    model = tf_keras.Model(image, x, name="digits")
    model.compile(tf_keras.optimizers.Adam(0.002), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
'''


@dataclass(frozen=True)
class Data:
    """Examples as the pipeline has them, the eval digits, and the name of the model's module."""

    examples: Examples
    digits: Digits
    module: str

    def job(self, base: Path, output: Path, options: Any) -> Any:
        return make_job(base, output, options, self.examples, definition=ModelDefinition(self.module))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Data]:
    folder = tmp_path_factory.mktemp("wide")
    (folder / "depthwise_digits.py").write_text(MODULE, encoding="utf-8")
    splits = {
        "train": read_digits(DATA / "train.tfrecord.gz", TRAIN),
        "eval": read_digits(DATA / "test.tfrecord.gz", EVAL),
    }
    records = {
        split: [to_example({"image": i, "label": n}) for i, n in zip(d.images, d.labels, strict=True)]
        for split, d in splits.items()
    }
    write_examples(folder / "data", MNIST_SCHEMA, **records)
    examples = Examples(str(folder / "data/examples"), str(folder / "data/schema"), None, "label")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield Data(examples, splits["eval"], "depthwise_digits")


@pytest.fixture(scope="module")
def narrow(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained model, its channels as they are."""
    from components.trainer.params import TrainOptions

    folder = tmp_path_factory.mktemp("narrow")
    seeding.seed_everything(SEED)
    train_baseline(
        examples=data.examples,
        output=str(folder),
        log_dir=str(folder / "logs"),
        definition=ModelDefinition(data.module, {}),
        options=TrainOptions(epochs=4, batch_size=64),
        seed=SEED,
    )
    return folder


def widen(model: tf_keras.Model, spread: float) -> None:
    """Scales the channels before a layer up or down and its weights the other way: ReLU(s·x) = s·ReLU(x).

    Args:
        model: Changed in place; computes the same as before.
        spread: Largest scale as a multiple of the smallest.
    """
    random = np.random.default_rng(0)
    for before, after in (("stem_bn", "depthwise"), ("depthwise_bn", "pointwise")):
        norm, kernel = model.get_layer(before), model.get_layer(after).weights[0]
        scales = np.geomspace(spread**-0.5, spread**0.5, norm.gamma.shape[0]).astype(np.float32)
        random.shuffle(scales)
        norm.gamma.assign(norm.gamma * scales)
        norm.beta.assign(norm.beta * scales)
        kernel.assign(kernel / scales[:, np.newaxis])


@pytest.fixture(scope="module")
def wide(narrow: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same function, with channels of ranges that differ by a factor of 300."""
    folder = tmp_path_factory.mktemp("wide")
    model = model_files.load(str(narrow))
    widen(model, 300)
    model_files.save(model, str(folder), ["image"], StepRecord())
    return folder


def accuracy(uri: Path, digits: Digits) -> float:
    """Share of digits that the deployed file classifies correctly."""
    model = LiteRTModel(model_files.tflite_file(str(uri)))
    outputs = [model.predict({"image": image})["probabilities"] for image in digits.images]
    return float(np.mean(np.argmax(outputs, axis=1) == digits.labels))


def converted(data: Data, base: Path, output: Path, quantization: str) -> float:
    options = ConvertOptions(quantization=quantization)
    run_step(convert_model, data.job(base, output, options))
    return accuracy(output, data.digits)


def test_widening_changes_ranges_and_not_the_function(data: Data, narrow: Path, wide: Path) -> None:
    images = data.digits.images[:50].reshape(-1, 28, 28, 1).astype(np.float32)
    before, after = model_files.load(str(narrow)), model_files.load(str(wide))

    np.testing.assert_allclose(after(images), before(images), atol=1e-4)
    ranges = []
    for model in (before, after):
        inner = tf_keras.Model(model.input, model.get_layer("stem_relu").output)
        largest = np.max(inner(images).numpy(), axis=(0, 1, 2))
        ranges.append(largest.max() / largest[largest > 0].min())
    assert ranges[1] > 10 * ranges[0]


def test_quantization_aware_training_keeps_what_plain_int8_loses(
    data: Data, narrow: Path, wide: Path, tmp_path: Path
) -> None:
    float32 = converted(data, wide, tmp_path / "float32", "float32")
    plain = converted(data, wide, tmp_path / "plain", "int8")
    options = QatOptions(epochs=3, batch_size=64, learning_rate=0.001)
    run_step(train_quantization_aware, data.job(wide, tmp_path / "qat", options))
    aware = converted(data, tmp_path / "qat", tmp_path / "aware", "int8")

    figures = f"float32 {float32}, plain int8 {plain}, quantization-aware int8 {aware}"
    assert float32 > 0.9, figures
    assert plain < float32 - POINT, figures
    assert aware > plain + POINT, figures
    assert aware > float32 - 0.5 * POINT, figures
    # The ranges are at fault, not the architecture: as it was trained, plain int8 does no harm.
    equalized = converted(data, narrow, tmp_path / "narrow", "int8")
    assert equalized > float32 - POINT, f"{figures}, equalized {equalized}"
