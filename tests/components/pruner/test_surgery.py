"""Weights that go by what layers compute, and those that make up for them."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras

from components.pruner import surgery

layers = tf_keras.layers


def test_one_weight_is_chosen_and_made_up_for_as_least_squares_say() -> None:
    """Of two inputs that always agree, one carries both; magnitude would take the third."""
    random = np.random.default_rng(1)
    same, other = random.normal(size=(2, 500))
    inputs = np.stack([same, same + 0.01 * random.normal(size=500), 0.5 * other], axis=1)
    weights = np.array([[1.0], [1.2], [0.9]])
    pruned = surgery.prune_weights(weights, inputs.T @ inputs, 1 / 3)

    assert np.count_nonzero(pruned) == 2
    assert pruned[:2].sum() == pytest.approx(2.2, rel=0.01)
    assert pruned[2, 0] == pytest.approx(0.9, rel=0.01)
    assert np.square(inputs @ (pruned - weights)).mean() < 0.001


def test_what_is_left_is_the_best_that_its_zeros_allow() -> None:
    random = np.random.default_rng(2)
    inputs = random.normal(size=(400, 12)) @ random.normal(size=(12, 12))
    weights = random.normal(size=(12, 5))
    weights[0] = 0
    moments = inputs.T @ inputs
    pruned = surgery.prune_weights(weights, moments, 0.5)

    assert np.count_nonzero(pruned == 0) == 30
    assert not pruned[0].any()
    damped = moments + 0.01 * np.trace(moments) / 12 * np.eye(12)
    for output in range(5):
        left = np.flatnonzero(pruned[:, output])
        best = np.linalg.solve(damped[np.ix_(left, left)], (damped @ weights)[left, output])
        np.testing.assert_allclose(pruned[left, output], best, rtol=1e-6)
    smallest = np.where(np.argsort(np.argsort(np.abs(weights), axis=0), axis=0) >= 6, weights, 0)
    assert (
        np.square(inputs @ (pruned - weights)).sum() < 0.3 * np.square(inputs @ (smallest - weights)).sum()
    )


def test_outputs_of_convolutions_and_dense_layers_stay_nearer_than_by_magnitude() -> None:
    tf_keras.utils.set_random_seed(3)
    x = layers.Input((8, 8, 3), name="x")
    y = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu", name="a")(x)
    y = layers.DepthwiseConv2D(3, name="depthwise")(y)
    y = layers.Conv2D(8, 1, name="b")(y)
    model = tf_keras.Model(x, layers.Dense(4, name="y")(layers.Flatten()(y)))
    images = np.cumsum(np.random.default_rng(3).normal(size=(200, 8, 8, 3)), axis=1).astype(np.float32)
    before, kernels = (
        model.predict(images, verbose=0),
        {n: model.get_layer(n).kernel.numpy() for n in "aby"},
    )

    def error() -> float:
        return float(np.square(model.predict(images, verbose=0) - before).mean())

    for name, kernel in kernels.items():
        model.get_layer(name).kernel.assign(np.where(np.abs(kernel) > np.median(np.abs(kernel)), kernel, 0))
    by_magnitude = error()
    for name, kernel in kernels.items():
        model.get_layer(name).kernel.assign(kernel)
    assert surgery.operate(model, {"a": 0.5, "b": 0.5, "y": 0.5}, {"x": images}) == ["a", "b", "y"]

    assert {name: np.mean(model.get_layer(name).kernel.numpy() == 0) for name in "aby"} == dict.fromkeys(
        "aby", 0.5
    )
    assert error() < 0.5 * by_magnitude


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv2D(4, 3, dilation_rate=2, name="l"),
        layers.Conv2D(4, 3, groups=2, name="l"),
        layers.DepthwiseConv2D(3, name="l"),
    ],
)
def test_other_layers_are_left_as_they_are(layer: tf_keras.layers.Layer) -> None:
    x = layers.Input((8, 8, 4), name="x")
    model = tf_keras.Model(x, layer(x))
    before = model.get_weights()
    assert surgery.operate(model, {"l": 0.5}, {"x": np.ones((4, 8, 8, 4), np.float32)}) == []
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
