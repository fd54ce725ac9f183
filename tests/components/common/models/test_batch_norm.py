"""BatchNormalization becomes part of the layer before it, and the model computes what it did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tf_keras

from components.common.models import batch_norm

layers = tf_keras.layers
Build = Callable[[], tf_keras.Model]


def stirred(model: tf_keras.Model) -> tf_keras.Model:
    """A model whose weights and statistics are none of those that Keras begins with."""
    generator = np.random.default_rng(5)
    for weight in model.weights:
        values = generator.normal(size=weight.shape)
        weight.assign(np.abs(values) + 0.3 if "variance" in weight.name else values)
    return model


def sequential(*parts: Any, shape: tuple[int, ...] = (6, 6, 3)) -> tf_keras.Model:
    return stirred(tf_keras.Sequential([layers.Input(shape), *parts, layers.ReLU(name="end")]))


def norm(name: str = "norm", **options: Any) -> tf_keras.layers.Layer:
    return layers.BatchNormalization(name=name, **options)


def functional() -> tf_keras.Model:
    image, scalar = layers.Input((6, 6, 3), name="image"), layers.Input((4,), name="scalar")
    x = layers.ReLU()(norm("a_norm")(layers.Conv2D(4, 3, use_bias=False, name="a")(image)))
    x = layers.GlobalAveragePooling2D()(x)
    y = norm("b_norm", scale=False)(layers.Dense(4, name="b")(scalar))
    return stirred(tf_keras.Model([image, scalar], layers.Concatenate(name="end")([x, y])))


def residual() -> tf_keras.Model:
    image = layers.Input((6, 6, 3), name="image")
    x = norm("a_norm")(layers.Conv2D(3, 3, padding="same", name="a")(image))
    x = layers.Add()([x, image])
    y = norm("b_norm")(layers.Conv2D(3, 1, name="b")(x))
    return stirred(tf_keras.Model(image, layers.Add(name="end")([x, y])))


def operator_on_tensors() -> tf_keras.Model:
    """`+` between Keras tensors, which the config holds in another form than a layer's inputs."""
    image = layers.Input((6, 6, 3), name="image")
    x = norm("a_norm")(layers.Conv2D(3, 3, padding="same", name="a")(image))
    return stirred(tf_keras.Model(image, layers.ReLU(name="end")(1.0 + x + image * x)))


FOLDED: dict[str, tuple[Build, dict[str, str]]] = {
    "Dense": (lambda: sequential(layers.Dense(4, name="d"), norm(), shape=(5,)), {"d": "norm"}),
    "Dense along a sequence": (
        lambda: sequential(layers.Dense(4, name="d"), norm(), shape=(7, 5)),
        {"d": "norm"},
    ),
    "Conv1D": (lambda: sequential(layers.Conv1D(4, 3, name="c"), norm(), shape=(7, 5)), {"c": "norm"}),
    "Conv2D without bias": (
        lambda: sequential(layers.Conv2D(4, 3, use_bias=False, name="c"), norm()),
        {"c": "norm"},
    ),
    "Conv2D, neither scale nor center": (
        lambda: sequential(layers.Conv2D(4, 3, name="c"), norm(scale=False, center=False, epsilon=0.1)),
        {"c": "norm"},
    ),
    "Conv3D": (
        lambda: sequential(layers.Conv3D(4, 2, name="c"), norm(), shape=(4, 4, 4, 2)),
        {"c": "norm"},
    ),
    "separable": (
        lambda: sequential(layers.SeparableConv2D(4, 3, depth_multiplier=2, name="s"), norm()),
        {"s": "norm"},
    ),
    "transposed": (
        lambda: sequential(layers.Conv2DTranspose(5, 3, use_bias=False, name="t"), norm()),
        {"t": "norm"},
    ),
    "functional, two inputs": (functional, {"a": "a_norm", "b": "b_norm"}),
    "residual": (residual, {"a": "a_norm", "b": "b_norm"}),
    "operators on tensors": (operator_on_tensors, {"a": "a_norm"}),
}


def inputs_of(model: tf_keras.Model) -> list[np.ndarray]:
    generator = np.random.default_rng(6)
    return [generator.normal(size=(5, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs]


def predictions(model: tf_keras.Model) -> np.ndarray:
    inputs = inputs_of(model)
    return model(inputs if len(inputs) > 1 else inputs[0], training=False).numpy()


@pytest.mark.parametrize("name", FOLDED)
def test_a_folded_model_computes_the_same(name: str) -> None:
    build, expected = FOLDED[name]
    model = build()
    before, weights = predictions(model), model.get_weights()
    folded = batch_norm.fold(model, [layer.name for layer in model.layers])

    assert batch_norm.followers(model) == expected
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in folded.layers)
    assert len(folded.layers) == len(model.layers) - len(expected)
    assert folded.input_names == model.input_names and folded.output_names == model.output_names
    np.testing.assert_allclose(predictions(folded), before, rtol=2e-5, atol=2e-5)
    # The model itself is not changed.
    np.testing.assert_array_equal(predictions(model), before)
    for one, other in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_kernel_and_bias_are_those_of_the_formula() -> None:
    model = sequential(layers.Dense(2, name="d"), norm(epsilon=0.5), shape=(3,))
    kernel, bias = np.arange(6.0).reshape(3, 2), np.array([1.0, 2.0])
    gamma, beta, mean, variance = np.array([[2.0, -3.0], [1.0, 5.0], [4.0, -1.0], [0.5, 8.5]])
    model.get_layer("d").set_weights([kernel, bias])
    model.get_layer("norm").set_weights([gamma, beta, mean, variance])
    folded = batch_norm.fold(model, ["d"]).get_layer("d")

    factor = np.array([2.0, -1.0])  # gamma / √(variance + 0.5)
    np.testing.assert_allclose(folded.kernel, kernel * factor)
    np.testing.assert_allclose(folded.bias, [(1 - 4) * 2 + 1, (2 + 1) * -1 + 5])


def test_zeros_stay_zero_and_only_named_layers_are_folded() -> None:
    model = residual()
    kernel, bias = model.get_layer("a").get_weights()
    kernel[:, :, 1] = 0
    model.get_layer("a").set_weights([kernel, bias])
    folded = batch_norm.fold(model, ["a"])

    assert [n.name for n in folded.layers if isinstance(n, layers.BatchNormalization)] == ["b_norm"]
    np.testing.assert_array_equal(folded.get_layer("a").get_weights()[0] == 0, kernel == 0)
    np.testing.assert_allclose(predictions(folded), predictions(model), rtol=2e-5, atol=2e-5)
    assert batch_norm.fold(model, []) is model


def two_readers() -> tf_keras.Model:
    x = layers.Input((4,))
    y = layers.Dense(3, name="d")(x)
    return tf_keras.Model(x, layers.Add(name="end")([norm()(y), y]))


def read_twice_by_the_same() -> tf_keras.Model:
    x = layers.Input((4,))
    shared, dense = norm(), layers.Dense(4, name="d")
    return tf_keras.Model(x, layers.Add(name="end")([shared(dense(x)), shared(x)]))


def ends_with_norm() -> tf_keras.Model:
    x = layers.Input((4,))
    return tf_keras.Model(x, norm()(layers.Dense(3, name="d")(x)))


def layer_is_an_output() -> tf_keras.Model:
    x = layers.Input((4,))
    y = layers.Dense(3, name="d")(x)
    return tf_keras.Model(x, [y, layers.ReLU()(norm()(y))])


class Scaled(layers.Dense):
    """Computes something else than its weights say."""

    def call(self, inputs: Any) -> Any:
        return 3 * super().call(inputs)


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(two_readers, id="somebody else reads the layer"),
        pytest.param(read_twice_by_the_same, id="the normalization is shared"),
        pytest.param(ends_with_norm, id="the normalization is the output"),
        pytest.param(layer_is_an_output, id="the layer is an output"),
        pytest.param(
            lambda: sequential(layers.Dense(3, activation="relu", name="d"), norm(), shape=(4,)),
            id="an activation lies between",
        ),
        pytest.param(
            lambda: sequential(layers.Conv2D(3, 3, name="c"), norm(axis=1)), id="along another axis"
        ),
        pytest.param(lambda: sequential(layers.DepthwiseConv2D(3, name="c"), norm()), id="depthwise"),
        pytest.param(lambda: sequential(Scaled(3, name="d"), norm(), shape=(4,)), id="a subclass"),
        pytest.param(lambda: sequential(norm(), layers.Dense(3), shape=(4,)), id="in front of the layer"),
    ],
)
def test_what_cannot_be_folded_stays(build: Build) -> None:
    model = build()

    assert batch_norm.followers(model) == {}
    assert batch_norm.fold(model, [layer.name for layer in model.layers]) is model


def test_layers_of_the_users_own_come_along() -> None:
    model = sequential(layers.Dense(4, name="d"), norm(), Scaled(2, name="own"), shape=(3,))
    folded = batch_norm.fold(model, ["d"], {"Scaled": Scaled})

    assert type(folded.get_layer("own")) is Scaled
    np.testing.assert_allclose(predictions(folded), predictions(model), rtol=2e-5, atol=2e-5)
