"""Keras 3 models as models of tf_keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras

from components.common.models import keras_3, saved_models
from components.common.models.keras_3 import Keras3Error, convert
from components.common.models.saved_models import SavedModelError

L = keras.layers


def through(layers: list[Any], shape: tuple[int, ...] = (6,), dtype: str = "float32") -> Any:
    """A functional model of layers, one after the other."""
    inputs = outputs = L.Input(shape, name="x", dtype=dtype)
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


def residual() -> Any:
    inputs = L.Input((8, 8, 1), name="image")
    x = L.Conv2D(4, 3, activation="relu", kernel_regularizer="l2", name="conv")(
        L.Rescaling(1 / 255)(inputs)
    )
    x = L.LeakyReLU(negative_slope=0.1)(L.BatchNormalization(name="norm")(x))
    y = L.DepthwiseConv2D(3, padding="same")(L.SeparableConv2D(4, 3, padding="same")(x))
    x = L.Dropout(0.2)(L.Add()([x, y]))
    return keras.Model(inputs, L.Dense(3, activation="softmax", name="p")(L.GlobalAveragePooling2D()(x)))


def two_inputs() -> Any:
    a, b = L.Input((3,), name="a"), L.Input((3,), name="b")
    inner = keras.Sequential([L.Input((3,)), L.Dense(4, name="inside")], name="inner")
    shared = L.Dense(2, name="shared")
    return keras.Model([a, b], [shared(inner(a)), shared(inner(b))])


MODELS = {
    "residual": residual,
    "two inputs, a model and a layer that are called twice": two_inputs,
    "LSTM": lambda: through([L.Bidirectional(L.LSTM(4)), L.Dense(2)], (5, 3)),
    "GRU": lambda: through([L.GRU(4)], (5, 3)),
    "embedding": lambda: through(
        [L.Embedding(7, 3), L.Conv1D(2, 2), L.LayerNormalization()], (5,), "int32"
    ),
    "attention": lambda: _attention(),
    "resizing": lambda: through([L.ZeroPadding2D(), L.MaxPooling2D(), L.Resizing(8, 8)], (4, 4, 2)),
    "no input layer": lambda: _built(keras.Sequential([L.Dense(2, activation="gelu")])),
}


def _attention() -> Any:
    inputs = L.Input((4, 6))
    return keras.Model(inputs, L.MultiHeadAttention(2, 3)(inputs, inputs))


def _built(model: Any) -> Any:
    model.build((None, 3))
    return model


@pytest.mark.parametrize("name", MODELS)
def test_a_converted_model_has_the_same_weights_and_predictions(name: str) -> None:
    model = MODELS[name]()
    random = np.random.default_rng(3)
    model.set_weights([random.uniform(0.1, 1, weight.shape) for weight in model.get_weights()])
    converted = convert(model)
    assert isinstance(converted, tf_keras.Model)
    assert converted.count_params() == model.count_params() > 0 or name == "resizing"
    inputs = [
        random.integers(0, 5, (7, *tensor.shape[1:])).astype(tensor.dtype.as_numpy_dtype)
        for tensor in converted.inputs
    ]
    given = inputs if len(inputs) > 1 else inputs[0]
    ours, theirs = converted.predict(given, verbose=0), model.predict(given, verbose=0)
    for own, other in zip(
        *([value] if len(inputs) == 1 else value for value in (ours, theirs)), strict=True
    ):
        assert np.ptp(other) > 0
        np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-5)


class Custom(L.Layer):  # type: ignore[misc]
    def call(self, inputs: Any) -> Any:
        return inputs * 2


class Subclassed(keras.Model):  # type: ignore[misc]
    pass


def operation() -> Any:
    inputs = L.Input((3,))
    return keras.Model(inputs, keras.ops.relu(inputs))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (operation, r"its 'relu\w*' \(keras\.src\.ops\.nn\.Relu\) .*: it is an operation of keras\.ops"),
        (lambda: through([Custom(name="mine")]), r"its 'mine' \(.*Custom\) .*: it is not one of Keras's"),
        (
            lambda: through([L.Rescaling(2.0), L.RMSNormalization(name="rms")]),
            r"its 'rms' \(keras\.layers\.RMSNormalization\) .*: tf_keras has no layer of this name",
        ),
        # hard_sigmoid is x / 6 + 0.5 in Keras 3, and x / 5 + 0.5 in tf_keras.
        (
            lambda: through([L.Dense(4, name="first"), L.Dense(4, "hard_sigmoid", name="hard")]),
            r"its 'hard' \(keras\.layers\.Dense\) .*: its outputs differ from those of tf_keras's layer",
        ),
        (Subclassed, r"is a subclassed Keras 3 model \(Subclassed\)"),
        (
            lambda: keras.Sequential([L.Dense(2)]),
            r"has unknown input shapes; begin it with keras\.layers\.Input",
        ),
    ],
)
def test_what_cannot_be_converted_is_refused_with_the_layer_named(make: Any, message: str) -> None:
    with pytest.raises(Keras3Error, match=message):
        convert(make())


def test_optimizer_loss_and_metrics_are_converted() -> None:
    model = through([L.Dense(3)])
    schedule = keras.optimizers.schedules.CosineDecay(0.01, 10)
    metrics = ["accuracy", keras.metrics.SparseCategoricalCrossentropy(name="ce", from_logits=True)]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(schedule, momentum=0.5), loss, metrics=metrics)
    converted = convert(model)
    assert isinstance(converted.optimizer, tf_keras.optimizers.SGD) and converted.optimizer.momentum == 0.5
    assert isinstance(converted.optimizer._learning_rate, tf_keras.optimizers.schedules.CosineDecay)
    assert isinstance(converted.loss, tf_keras.losses.SparseCategoricalCrossentropy)
    random = np.random.default_rng(0)
    x, y = random.normal(size=(40, 6)), random.integers(0, 3, 40)
    ours, theirs = (one.evaluate(x, y, verbose=0, return_dict=True) for one in (converted, model))
    assert set(ours) == set(theirs) == {"loss", "accuracy", "ce"}
    assert [ours[name] for name in ours] == pytest.approx([theirs[name] for name in ours], rel=1e-5)
    assert not convert(model, compiled=False)._is_compiled


def test_a_file_is_loaded_and_converted(tmp_path: Path) -> None:
    model = residual()
    model.compile("sgd", "sparse_categorical_crossentropy")
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = saved_models.load(str(path), compiled=True)
    assert loaded.loss == "sparse_categorical_crossentropy" and not keras_3.is_keras_3(loaded)
    images = np.random.default_rng(0).normal(size=(5, 8, 8, 1))
    np.testing.assert_allclose(loaded(images), model(images), rtol=1e-4, atol=1e-6)
    hard = tmp_path / "hard.keras"
    through([L.Dense(2, "hard_sigmoid", name="hard")]).save(hard)
    with pytest.raises(
        SavedModelError, match=r"hard\.keras is of Keras 3, and its 'hard' .* outputs differ"
    ):
        saved_models.load(str(hard))
