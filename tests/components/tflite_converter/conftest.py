"""Models to convert, of each kind of kernel, with examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from components.common.data.arrays import Arrays
from components.common.models import model_files
from components.common.tflite.litert import LiteRTModel
from components.tflite_converter.executor import convert
from components.tflite_converter.params import ConvertOptions
from tests.conftest import Digits

layers = tf_keras.layers


@dataclass(frozen=True)
class Convertible:
    """A SavedModel with examples for it, and what Keras predicts for them.

    Attributes:
        folder: Folder of the SavedModel.
        examples: Twenty; also to calibrate with.
        expected: Output → predictions of Keras, (examples, …).
    """

    folder: str
    examples: Arrays
    expected: dict[str, np.ndarray]

    def convert(self, clustered: bool = False, **options: Any) -> bytes:
        """Converts it; options as in a config."""
        return convert(self.folder, ConvertOptions(**options), False, self.examples, clustered)

    def error_of(self, content: bytes, folder: Path) -> float:
        """Largest difference of a file's predictions on LiteRT, as a share of the largest value."""
        found = predict(content, self.examples.features, folder)
        return max(
            float(np.abs(found[name] - values).max() / np.abs(values).max())
            for name, values in self.expected.items()
        )


def predict(content: bytes, features: Mapping[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    """Predictions of a TFLite file on LiteRT, by output."""
    (folder / "model.tflite").write_bytes(content)
    model = LiteRTModel(str(folder / "model.tflite"))
    count = len(next(iter(features.values())))
    rows = [model.predict({name: v[i] for name, v in features.items()}) for i in range(count)]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def saved(
    model: tf_keras.Model, folder: Path, features: dict[str, np.ndarray] | None = None
) -> Convertible:
    """Writes a model as the pipeline does; its inputs are called after `features`."""
    names = list(features) if features else list(model.input_names)
    model_files.save_serving(model, str(folder), names)
    if features is None:
        return Convertible(str(folder), Arrays({}, np.zeros(0)), {})
    outputs = model([features[name] for name in names], training=False)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    expected = {n: v.numpy() for n, v in zip(model.output_names, outputs, strict=True)}
    return Convertible(str(folder), Arrays(features, np.zeros(len(outputs[0]))), expected)


def small_images(digits: Mapping[str, Digits]) -> np.ndarray:
    """Twenty digits, (20, 28, 28, 1), 0 to 1."""
    return (digits["train"].images[:20] / 255).reshape(-1, 28, 28, 1).astype(np.float32)


KERNELS: dict[str, Callable[[], list[Any]]] = {
    # Kernels of fewer than 1,024 weights stay in float in dynamic-range files.
    "CONV_2D": lambda: [
        layers.Conv2D(16, 3, strides=2, activation="relu", name="first"),
        layers.Conv2D(32, 3, strides=2, activation="relu", name="second"),
        layers.GlobalAveragePooling2D(name="pool"),
    ],
    "DEPTHWISE_CONV_2D": lambda: [
        layers.Conv2D(32, 3, strides=2, activation="relu", name="first"),
        layers.DepthwiseConv2D(7, strides=2, activation="relu", name="second"),
        layers.GlobalAveragePooling2D(name="pool"),
    ],
    "FULLY_CONNECTED": lambda: [
        layers.Flatten(name="flatten"),
        layers.Dense(32, activation="relu", name="first"),
        layers.Dense(32, name="second"),
    ],
}


def stack(parts: list[Any]) -> tf_keras.Model:
    """The same weights each time."""
    tf_keras.utils.set_random_seed(3)
    x = image = layers.Input((28, 28, 1), name="image")
    for layer in parts:
        x = layer(x)
    return tf_keras.Model(image, x, name="net")


@pytest.fixture(scope="session")
def by_kernel(
    mnist_arrays: dict[str, Digits], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Convertible]:
    """Operator → a model whose weights go into operators of that kind."""
    return {
        kind: saved(stack(make()), tmp_path_factory.mktemp(kind), {"image": small_images(mnist_arrays)})
        for kind, make in KERNELS.items()
    }


@pytest.fixture(scope="session")
def mixed(mnist_arrays: dict[str, Digits], tmp_path_factory: pytest.TempPathFactory) -> Convertible:
    """A model with kernels of every kind, and a softmax."""
    model = stack(
        [
            layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False, name="conv"),
            layers.BatchNormalization(name="conv_bn"),
            layers.ReLU(name="conv_relu"),
            layers.SeparableConv2D(32, 3, strides=2, activation="relu", name="separable"),
            layers.Flatten(name="flatten"),
            layers.Dense(32, activation="relu", name="dense"),
            layers.Dense(10, activation="softmax", name="probabilities"),
        ]
    )
    return saved(model, tmp_path_factory.mktemp("mixed"), {"image": small_images(mnist_arrays)})


@pytest.fixture(scope="session")
def several(tmp_path_factory: pytest.TempPathFactory) -> Convertible:
    """A model with two inputs, one of whole numbers, and two outputs."""
    tf_keras.utils.set_random_seed(5)
    amounts = layers.Input((4,), name="amounts")
    places = layers.Input((2,), dtype="int32", name="places")
    known = layers.Flatten(name="flatten")(layers.Embedding(10, 4, name="embedding")(places))
    joined = layers.Concatenate(name="joined")([amounts, known])
    tip = layers.Dense(3, name="tip")(joined)
    speed = layers.Dense(2, activation="tanh", name="speed")(amounts)
    random = np.random.default_rng(0)
    features = {
        "amounts": random.normal(size=(20, 4)).astype(np.float32),
        "places": random.integers(0, 10, (20, 2)).astype(np.int32),
    }
    model = tf_keras.Model([amounts, places], [tip, speed], name="several")
    return saved(model, tmp_path_factory.mktemp("several"), features)
